"""A client's request to the canonical form.

Rule: nothing is refused for being unknown. Fields without a canonical meaning stay raw in `extras` under their wire
names, for this format's own encoder; the keys that begin with two underscores are ours and never sent.
What refers to a server's memory (`conversation`, `prompt`, `previous_response_id` that the gateway did not resolve)
also leaves an opaque part in the conversation, so that other formats refuse the request instead of answering without
it. Spec: the Responses API page, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators.base import Hints
from llm_mux.translators.openai_responses import decode_input, items, tools, wire
from llm_mux.translators.openai_responses.decode_input import input_items
from llm_mux.translators.openai_responses.reading import (
    CODEX,
    COMPACT,
    ECHO,
    OWNER,
    QUIET,
    TOOL_CHOICE,
    optional,
    present,
    read,
)
from llm_mux.translators.tools import Reading

RESOLVED: Final = "__previous_response_id"
"""Top-level key that `store.prepend_items` leaves in place of a `previous_response_id` it has resolved."""

TRUE: Final = Raw(b"true")
LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED: Final = "reasoning.encrypted_content"

# Fields that have a canonical meaning; all others go to `extras`.
_MAPPED: Final = frozenset(
    {"model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p", "reasoning", "text"}
    | {"tools", "tool_choice", "parallel_tool_calls", "metadata", "service_tier", "prompt_cache_key", "top_logprobs"}
)

# What the response object repeats of the request, as far as the client said it.
_ECHOED: Final = (
    *("instructions", "tools", "tool_choice", "temperature", "top_p", "text", "reasoning", "metadata", "store"),
    *("parallel_tool_calls", "previous_response_id", "truncation", "max_output_tokens", "max_tool_calls"),
    *("top_logprobs", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"),
    *("background", "conversation", "prompt"),
)


def decode_request(body: bytes, hints: Hints) -> ir.Request:
    """The request in canonical form. `Hints.model` and `Hints.stream` win over the body."""
    codex = _is_codex(hints.headers)
    return _request(decode_input.look(body, codex=codex), hints, codex=codex)


def _offered(*, codex: bool) -> Reading:
    return Reading(lambda raw: tools.decode_tools(read(Raw(raw), list[Raw], "tools"), "tools", codex=codex))


_OFFERED: Final = (_offered(codex=False), _offered(codex=True))


def compact_request(body: bytes, hints: Hints | None = None) -> ir.Request:
    """A request of the compact endpoint as one that asks the model for a summary and is answered by compaction."""
    hints = hints or Hints()
    codex, fields = _is_codex(hints.headers), decode_input.fields_of(body)
    listed = input_items(fields.get("input"))
    fields["input"] = Raw(msgspec.json.encode([*listed, Raw(b'{"type":"compaction_trigger"}')]))
    return _request(decode_input.whole(fields, codex=codex), hints, codex=codex)


def _request(found: decode_input.Found, hints: Hints, *, codex: bool) -> ir.Request:
    fields, conversation = found.fields, found.conversation
    choice = tools.decode_choice(fields.get("tool_choice"))
    offered = _OFFERED[codex](fields["tools"]) if present(fields.get("tools")) else ()
    if conversation.compacts:
        choice = ir.ToolChoice("none") if offered else None
    text = optional(fields, "text", wire.TextOptions) or wire.TextOptions()
    thinking, output = thinking_of(fields.get("reasoning")), _output(text.format)
    sampling = _sampling(fields)
    for update in conversation.updates:
        thinking, output = _updated(update, thinking, output)
    return ir.Request(
        model=hints.model or _model(fields),
        messages=found.messages,
        protocol=OWNER,
        stream=bool(hints.stream if hints.stream is not None else optional(fields, "stream", bool)),
        tools=tools.demanded((*offered, *conversation.tools) if conversation.tools else offered, choice),
        tool_choice=choice,
        parallel_tool_calls=optional(fields, "parallel_tool_calls", bool),
        max_tokens=optional(fields, "max_output_tokens", int),
        sampling=sampling,
        thinking=thinking,
        output=output,
        verbosity=text.verbosity,
        user=optional(fields, "safety_identifier", str) or optional(fields, "user", str),
        cache_key=optional(fields, "prompt_cache_key", str) or None,
        service_tier=optional(fields, "service_tier", str),
        metadata=fields["metadata"] if present(fields.get("metadata")) else None,
        extras=_extras(fields, conversation, sampling, codex=codex),
        beneath=tuple(_beneath(fields, conversation.offered)),
    )


def _beneath(fields: Mapping[str, Raw], brought: Sequence[Raw]) -> Iterator[str]:
    """Settings below the top level that change the answer and that no other format has. `brought`: tools of items."""
    reasoning, offered = fields.get("reasoning"), fields.get("tools")
    asked = read(reasoning, wire.ReasoningOptions, "reasoning") if present(reasoning) else wire.ReasoningOptions()
    if asked.mode not in (None, "standard"):
        yield "reasoning.mode"
    raws = [raw for raw in ((offered,) if present(offered) else ()) if b'"async"' in bytes(raw)]
    listed = [tool for raw in raws for tool in read(raw, list[wire.AsyncTool], "tools")]
    listed += [read(raw, wire.AsyncTool, "tools") for raw in brought if b'"async"' in bytes(raw)]
    if any(map(_is_async, listed)):
        yield "tools.async"


def _is_async(tool: wire.AsyncTool) -> bool:
    return bool(tool.async_) or any(map(_is_async, tool.tools or ()))


def _is_codex(headers: Mapping[str, str]) -> bool:
    return any(headers.get(name, "").lower().startswith("codex") for name in ("originator", "user-agent"))


def _model(fields: Mapping[str, Raw]) -> str:
    model = optional(fields, "model", str)
    if not model:
        raise bad_request("`model` is missing.", param="model", code="missing_required_parameter")
    return model


def _sampling(fields: Mapping[str, Raw]) -> ir.Sampling:
    asked = present(fields.get("include")) and LOGPROBS in (optional(fields, "include", list[str]) or ())
    return ir.Sampling(
        temperature=optional(fields, "temperature", float),
        top_p=optional(fields, "top_p", float),
        logprobs=True if asked else None,
        top_logprobs=optional(fields, "top_logprobs", int) if asked else None,
    )


def thinking_of(raw: Raw | None) -> ir.Thinking:
    """What a `reasoning` object asks for; it rides along for this format's own encoder."""
    if not present(raw):
        return ir.Thinking()
    options = read(raw, wire.ReasoningOptions, "reasoning")
    shown = options.summary or options.generate_summary
    thinking = ir.Thinking(show=shown != "none" if shown else None, native=ir.Native(OWNER, raw))
    return _with_effort(thinking, options.effort)


def _with_effort(thinking: ir.Thinking, effort: str | float | None) -> ir.Thinking:
    """`thinking` at an effort; clients also send words of their own, and numbers."""
    if isinstance(effort, int | float):
        return msgspec.structs.replace(thinking, effort=None, budget=max(0, int(effort)))
    if effort is None:
        return thinking
    word = effort.lower()
    word = word if word in ir.EFFORTS else _OTHER_WORDS.get(word, "")
    return msgspec.structs.replace(thinking, effort=word or None, budget=None, adaptive=not word)


_OTHER_WORDS: Final = {"ultra": "max", "persistent": "max", "off": "none", "disabled": "none", "x-high": "xhigh"}


def _output(form: wire.TextFormat | None) -> ir.OutputFormat:
    match form.type if form is not None else "text":
        case "json_object":
            return ir.OutputFormat("json")
        case "json_schema" if form is not None:
            schema = form.schema if present(form.schema) else None
            return ir.OutputFormat("schema", form.name, schema, form.strict, form.description)
        case _:
            return ir.OutputFormat()


def _updated(update: wire.Item, thinking: ir.Thinking, output: ir.OutputFormat) -> tuple[ir.Thinking, ir.OutputFormat]:
    """The settings after a `configuration_update` item."""
    if present(update.reasoning):
        options = read(update.reasoning, wire.ReasoningOptions, "input.reasoning")
        thinking = _with_effort(thinking, options.effort)
    if present(update.text):
        output = _output(read(update.text, wire.TextOptions, "input.text").format)
    return thinking, output


def _extras(
    fields: Mapping[str, Raw], conversation: items.Conversation, sampling: ir.Sampling, *, codex: bool
) -> dict[str, Raw]:
    quiet = QUIET if _asks_little(fields) else QUIET - {"include"}
    extras = {
        f"__{name}" if name in quiet else name: raw
        for name, raw in fields.items()
        if name not in _MAPPED and not name.startswith("__") and present(raw)
    }
    if sampling.top_logprobs is None and present(fields.get("top_logprobs")):
        extras["top_logprobs"] = fields["top_logprobs"]
    echo = {name: fields[name] for name in _ECHOED if present(fields.get(name))}
    if present(fields.get(RESOLVED)):
        echo["previous_response_id"] = fields[RESOLVED]
    extras[ECHO] = Raw(msgspec.json.encode(echo))
    if present(fields.get("tool_choice")):
        extras[TOOL_CHOICE] = fields["tool_choice"]
    if codex:
        extras[CODEX] = TRUE
    if conversation.compacts:
        extras[COMPACT] = TRUE
    return extras


def _asks_little(fields: Mapping[str, Raw]) -> bool:
    """Whether `include` names only what the canonical form holds anyway."""
    return {ENCRYPTED, LOGPROBS}.issuperset(optional(fields, "include", list[str]) or ())
