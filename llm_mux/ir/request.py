"""What a client asks for: tools, thinking, output format, sampling, and the request that holds them."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from llm_mux.ir.content import Cache, Message, Native

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Tool(Struct, frozen=True):
    """A tool the client runs. `schema` is JSON Schema (None: no arguments); `custom` is a free-text tool's format."""

    name: str
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None
    custom: Raw | None = None
    free_text: bool = False
    namespace: str | None = None
    namespace_description: str | None = None
    cache: Cache | None = None
    native: Native | None = None


class HostedTool(Struct, frozen=True):
    """A tool the vendor runs. `kind` is ours for what maps across vendors ("web_search"), else the vendor's type.

    `optional`: the client offers it on every request whether it is needed or not (Codex), so a target without it drops
    and reports it instead of refusing the request.
    """

    kind: str
    native: Native
    name: str | None = None
    optional: bool = False


class ToolChoice(Struct, frozen=True):
    """`mode` tool: exactly `names[0]`; auto or any with `names`: only that subset may be called."""

    mode: Literal["auto", "any", "tool", "none"]
    names: tuple[str, ...] = ()


class Thinking(Struct, frozen=True):
    """What the client asked about reasoning. All None: said nothing.

    `effort` is one of EFFORTS; `budget` is in tokens (-1: automatic); `adaptive`: the model decides how much;
    `show`: whether the client wants to see (summarised) reasoning, None when it did not say.
    """

    effort: str | None = None
    budget: int | None = None
    adaptive: bool = False
    show: bool | None = None
    native: Native | None = None

    @property
    def asked(self) -> bool:
        return self.effort is not None or self.budget is not None or self.adaptive

    @property
    def off(self) -> bool:
        return self.effort == "none" or self.budget == 0


class OutputFormat(Struct, frozen=True):
    kind: Literal["text", "json", "schema"] = "text"
    name: str | None = None
    schema: Raw | None = None
    strict: bool | None = None
    description: str | None = None


class Sampling(Struct, frozen=True):
    """Tuning knobs; a target without one drops and reports it (`logprobs` and `n` change the shape: refused)."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logit_bias: Raw | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None


class Request(Struct, frozen=True):
    """One request in canonical form. Leading system messages are the system slot.

    `extras` are the top-level fields that only the client's own format knows; its encoder emits them again.
    `beneath` names settings below the top level that ride in natives of the client's own format: others lose them.
    `protocol` is the client translator's name; `cache_key`, `user`, `session` identify the conversation and its owner.
    """

    model: str
    messages: tuple[Message, ...]
    protocol: str = ""
    stream: bool = False
    tools: tuple[Tool | HostedTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    thinking: Thinking = Thinking()
    output: OutputFormat = OutputFormat()
    verbosity: str | None = None
    user: str | None = None
    cache_key: str | None = None
    service_tier: str | None = None
    metadata: Raw | None = None
    cache: Cache | None = None
    include_usage: bool = True
    modalities: tuple[str, ...] = ()
    extras: dict[str, Raw] = {}
    beneath: tuple[str, ...] = ()


class EmbedRequest(Struct, frozen=True):
    """Texts to embed. `task` is Gemini's taskType (others drop it), `dimensions` None: the model's own."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int | None = None
    task: str | None = None
    title: str | None = None
    user: str | None = None
    extras: dict[str, Raw] = {}
