"""The canonical form to a request of this format.

Decisions. `store` is false unless a client of this format asked otherwise; encrypted reasoning is always asked for.
Leading system text becomes `instructions` (an item, where it carries cache marks or more than text). Sampling knobs go
where the model family takes none. Stop strings are cut by the daemon. Fields of this format's own clients that have no
canonical meaning go as they came. Spec: the Responses API page, sections 2 to 5; translation matrix; pitfalls D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import cache_key, history, ids, memory, openai_models
from llm_mux.translators import effort as efforts
from llm_mux.translators.base import Encoded, Target
from llm_mux.translators.foreign import lost_fields
from llm_mux.translators.openai_responses import tools, wire
from llm_mux.translators.openai_responses.decode import ENCRYPTED, LOGPROBS, TRUE, thinking_of
from llm_mux.translators.openai_responses.quirks import Quirks, quirks_of
from llm_mux.translators.openai_responses.reading import OWNER, QUIET, TOOL_CHOICE, present
from llm_mux.translators.openai_responses.turns import Way, encode_turns
from llm_mux.translators.tools import Names, names_for
from llm_mux.wire import jsonx

_SHORTEST_ANSWER: Final = 16
_LONGEST_USER: Final = 64
SAMPLED: Final = ("temperature", "top_p")
# By which names the fields of this format are reported when they are dropped: those of chat completions, for everyone.
REPORTED: Final = {"max_output_tokens": "max_tokens", "reasoning": "reasoning_effort", "text": "response_format"}
_KNOBS: Final = ("top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed", "logit_bias")
_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
# What only a server with a memory can do; without it these are refused, because the answer would lack something.
_MEMORY: Final = ("previous_response_id", "conversation", "prompt")

# Fields that mean the same in OpenAI's chat format.
_SHARED: Final = ("store", "moderation", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "user")

Body = dict[str, object]


def encode_request(request: ir.Request, target: Target) -> Encoded:
    """The request for `target`; knobs that it lacks are named in `dropped`, content without a form is refused."""
    quirks = quirks_of(target)
    facts = openai_models.facts(target.model) if quirks.openai_models else openai_models.ANY
    names = names_for(request, tools.RULES)
    dropped: list[str] = []
    body: Body = {"model": target.model}
    _conversation(body, request, Way(target, quirks, names, facts.breakpoints and quirks.cache_marks, dropped))
    _tools(body, request, names, target, quirks, dropped)
    _reasoning(body, request, facts, dropped)
    _text(body, request)
    if history.names_speakers(request.messages):
        dropped.append("messages.name")
    _limits(body, request, target)
    _sampling(body, request, target, facts, dropped)
    _identity(body, request, quirks, dropped)
    _extras(body, request, target, quirks, dropped)
    if request.stream or quirks.only_streams:
        body["stream"] = True
    if quirks.strict_shape:
        body.setdefault("instructions", "")
        if "tools" not in body and not any(isinstance(tool, ir.Tool) for tool in request.tools):
            body.pop("parallel_tool_calls", None)
    for name in sorted(quirks.unsupported.intersection(body)):
        del body[name]
        if name != "max_output_tokens":
            dropped.append(_reported(name, request))
    return Encoded(
        jsonx.encode(body),
        tuple(dict.fromkeys(dropped)),
        names,
        request.stop,
        max_tokens=_held_by_the_daemon(request, quirks),
    )


def _held_by_the_daemon(request: ir.Request, quirks: Quirks) -> int | None:
    """A token limit that this server has no way to keep: it refuses the field, or limits that low."""
    most = request.max_tokens
    if most is None or (most >= _SHORTEST_ANSWER and "max_output_tokens" not in quirks.unsupported):
        return None
    return most


def _reported(name: str, request: ir.Request) -> str:
    """The name under which the client knows what is dropped."""
    if name == "safety_identifier" and request.protocol != OWNER and name not in request.extras:
        return "user"
    return REPORTED.get(name, name)


def _conversation(body: Body, request: ir.Request, way: Way) -> None:
    own = request.protocol == OWNER
    slot, rest = _own_slot(request.messages) if own else history.system_slot(request.messages)
    said = [part for part in slot if not (isinstance(part, ir.Opaque) and part.hint)]
    texts = [part.text for part in said if isinstance(part, ir.Text) and part.text]
    marked = way.marks and any(getattr(part, "cache", None) is not None for part in said)
    messages = memory.tidied(request.messages, rest)
    if marked or len(texts) < len([part for part in said if not (isinstance(part, ir.Text) and not part.text)]):
        messages = (ir.Message("developer", tuple(said)), *messages)
        texts = []
    if request.output.kind == "json" and not own and not _mentions_json(request.messages):
        texts.append("Answer with a JSON object.")
    if texts:
        body["instructions"] = "\n\n".join(texts)
    body["input"] = encode_turns(messages, way)


def _own_slot(messages: Sequence[ir.Message]) -> tuple[tuple[ir.Part, ...], Sequence[ir.Message]]:
    """Of this format's own clients only system text is `instructions`; developer messages stay where they are."""
    for position, message in enumerate(messages):
        if message.role != "system":
            return tuple(part for m in messages[:position] for part in m.parts), messages[position:]
    return tuple(part for message in messages for part in message.parts), ()


def _mentions_json(messages: Sequence[ir.Message]) -> bool:
    """Servers refuse the JSON mode unless the word is in the conversation."""
    return any("json" in part.text.lower() for m in messages for part in m.parts if isinstance(part, ir.Text))


def _tools(body: Body, request: ir.Request, names: Names, target: Target, quirks: Quirks, dropped: list[str]) -> None:
    offered = tools.encode_tools(request, names, target, quirks, dropped)
    if offered:
        body["tools"] = offered
    elif not any(isinstance(tool, ir.Tool) for tool in request.tools):
        return
    choice = _remaining(request.tool_choice, dropped)
    if choice is not None:
        raw = request.extras.get(TOOL_CHOICE) if request.protocol == OWNER and quirks.custom_tools else None
        as_asked = choice == request.tool_choice and all(names.wire(name) == name for name in choice.names)
        body["tool_choice"] = (
            raw if raw is not None and as_asked else tools.encode_choice(choice, request, names, quirks)
        )
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _remaining(choice: ir.ToolChoice | None, dropped: Sequence[str]) -> ir.ToolChoice | None:
    """The choice without the tools that were dropped; None when it named no others."""
    if choice is None or not choice.names:
        return choice
    names = tuple(name for name in choice.names if f"tools.{name}" not in dropped)
    return msgspec.structs.replace(choice, names=names) if names else None


def _reasoning(body: Body, request: ir.Request, facts: openai_models.Facts, dropped: list[str]) -> None:
    thinking = request.thinking
    if not facts.efforts:
        if thinking.asked and not thinking.off:
            dropped.append("reasoning_effort")
        return
    asked = efforts.of(thinking)
    word = efforts.nearest(asked, facts.efforts) if asked else None
    raw = thinking.native.data if thinking.native is not None and thinking.native.owner == OWNER else None
    if raw is not None:
        body["reasoning"] = _own_reasoning(raw, thinking, asked, word)
        return
    options: dict[str, str] = {"effort": word} if word else {}
    if thinking.show or (thinking.show is None and thinking.asked and not thinking.off):
        options["summary"] = "auto"
    if options:
        body["reasoning"] = options


def _own_reasoning(raw: Raw, thinking: ir.Thinking, asked: str | None, word: str | None) -> Raw | dict[str, Raw]:
    """The client's own object; its effort replaced where another one was decided or the model takes another."""
    same = thinking_of(raw)
    if word == asked and (same.effort, same.budget) == (thinking.effort, thinking.budget):
        return raw
    fields = msgspec.json.decode(raw, type=dict[str, Raw])
    fields.pop("effort", None)
    if word:
        fields["effort"] = Raw(msgspec.json.encode(word))
    return fields


def _text(body: Body, request: ir.Request) -> None:
    options: dict[str, object] = {}
    output = request.output
    if output.kind == "json":
        options["format"] = wire.TextFormatOut("json_object")
    elif output.kind == "schema":
        schema = output.schema if output.schema is not None else tools.NO_ARGUMENTS
        name = output.name or "response"
        options["format"] = wire.TextFormatOut("json_schema", name, output.description, schema, output.strict)
    if request.verbosity is not None:
        options["verbosity"] = request.verbosity
    if options:
        body["text"] = options


def _limits(body: Body, request: ir.Request, target: Target) -> None:
    if request.max_tokens is None:
        return
    most = request.max_tokens if target.max_output is None else min(request.max_tokens, target.max_output)
    body["max_output_tokens"] = max(most, _SHORTEST_ANSWER)


def lacking(facts: openai_models.Facts, thinking: ir.Thinking) -> tuple[str, ...]:
    """The sampling knobs that the model does not take at the effort it is asked for."""
    return () if facts.samples(efforts.of(thinking)) else SAMPLED


def _sampling(body: Body, request: ir.Request, target: Target, facts: openai_models.Facts, dropped: list[str]) -> None:
    sampling = request.sampling
    lacks = lacking(facts, request.thinking)
    for name in SAMPLED:
        value = getattr(sampling, name)
        if value is None:
            continue
        if name not in lacks:
            body[name] = value
        else:
            dropped.append(name)
    dropped.extend(name for name in _KNOBS if getattr(sampling, name) is not None)
    if sampling.n is not None and sampling.n > 1:
        raise refused("More than one choice (`n`)", target.title, param="n")
    for modality in request.modalities:
        if modality != "text":
            raise refused(f"Output of type `{modality}`", target.title, param="modalities")
    if sampling.logprobs and sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs


def _identity(body: Body, request: ir.Request, quirks: Quirks, dropped: list[str]) -> None:
    if request.metadata is not None:
        body["metadata"] = request.metadata
    known = request.service_tier in _TIERS or (request.protocol == OWNER and request.service_tier)
    if known and (quirks.tiers is None or request.service_tier in quirks.tiers):
        body["service_tier"] = request.service_tier
    elif request.service_tier:
        dropped.append("service_tier")
    key = cache_key.of(request)
    if key:
        body["prompt_cache_key"] = key
    if request.user and request.protocol != OWNER:
        short = len(request.user) <= _LONGEST_USER
        body["safety_identifier"] = request.user if short else ids.digest(request.user)


def _extras(body: Body, request: ir.Request, target: Target, quirks: Quirks, dropped: list[str]) -> None:
    """Fields that only this format knows: its own clients' as they came, those of others reported."""
    own = request.protocol == OWNER
    extras = {name: raw for name, raw in request.extras.items() if not name.startswith("__")}
    include = [ENCRYPTED]
    if own:
        extras |= {name: request.extras[f"__{name}"] for name in sorted(QUIET) if f"__{name}" in request.extras}
        listed = msgspec.json.decode(extras.pop("include", Raw(b"[]")), type=list[str])
        include.extend(name for name in listed if name != ENCRYPTED)
        body.update(extras)
    else:
        shared = _SHARED if request.protocol == "openai_chat" else ()
        body.update({name: extras.pop(name) for name in shared if name in extras})
        dropped.extend(name for name in lost_fields(request) if name in extras or name in request.beneath)
    if request.sampling.logprobs and LOGPROBS not in include:
        include.append(LOGPROBS)
    body["include"] = include
    if not request.stream:
        body.pop("stream_options", None)
    if quirks.stateless:
        _forget(body, request, target, dropped)
    body.setdefault("store", False)


def _forget(body: Body, request: ir.Request, target: Target, dropped: list[str]) -> None:
    for name in _MEMORY:
        if name in body:
            raise refused(f"`{name}`", target.title, param=name)
    if present(body.pop("background", None)):  # type: ignore[arg-type]  # extras hold raw values
        dropped.append("background")
    # Clients of this format lose nothing: the daemon itself keeps their responses. It keeps nobody else's answers.
    if request.protocol != OWNER and body.get("store") == TRUE:
        dropped.append("store")
    body["store"] = False
