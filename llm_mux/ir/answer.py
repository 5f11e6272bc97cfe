"""What comes back, whole: usage, how it ended, choices, and embedding vectors."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

from llm_mux.ir.content import Native, Part


class Usage(Struct, frozen=True):
    """Tokens. `input` is the uncached prompt only; whole prompt = input + cache_read + cache_write.

    `output` includes `reasoning` (None: not told apart). `cache_write_1h` is the part of cache_write kept an hour.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int | None = None
    estimated: bool = False
    searches: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        return self.prompt + self.output


FinishReason = Literal[
    "stop", "stop_sequence", "length", "context", "tool_calls", "filtered", "refusal", "paused", "broken"
]


class Finish(Struct, frozen=True):
    """How one choice ended. `detail` is the vendor's explanation (refusal text, filter category)."""

    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None
    detail: str | None = None
    native: Native | None = None


class Choice(Struct, frozen=True):
    parts: tuple[Part, ...]
    finish: Finish
    logprobs: Raw | None = None


class Response(Struct, frozen=True):
    """A whole answer. `created` in unix seconds (0: unknown). `extras`: the owner's own top-level fields."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created: int = 0
    owner: str = ""
    extras: dict[str, Raw] = {}


class EmbedResponse(Struct, frozen=True):
    """One vector per input, in order. `tokens` is the prompt's size, 0 when the upstream did not say."""

    model: str
    vectors: tuple[tuple[float, ...], ...]
    tokens: int = 0
