"""A canonical request as a Converse request for one target.

Rules. How Claude is told to think, what it takes of sampling and where its marks go is decided by its own format's
rules; this page gives it the form of the host. Other families get what they know; knobs they lack are dropped and
named, what would change the answer's shape is refused. Spec: the Bedrock Runtime page, sections 2 and 11.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import effort, history
from llm_mux.translators.anthropic import conversation, encode_tools, thinking
from llm_mux.translators.anthropic import wire as claude
from llm_mux.translators.anthropic.encode import check_shape
from llm_mux.translators.anthropic.outlook import Outlook, outlook
from llm_mux.translators.base import Encoded, Target
from llm_mux.translators.bedrock import encode_blocks, quirks, wire
from llm_mux.translators.bedrock.decode import EXTRA
from llm_mux.translators.bedrock.encode_blocks import Blocks, Page
from llm_mux.translators.bedrock.wire import NAME
from llm_mux.translators.foreign import lost_fields
from llm_mux.translators.ids import digest
from llm_mux.wire import jsonx

_GO_ON: Final = "Continue."
_NO_TOOLS: Final = "Answer without calling any tool."
_MOST_POINTS: Final = 4
_TIERS: Final = {"auto": "default", "default": "default", "standard": "default", "flex": "flex", "priority": "priority"}
_FOREIGN: Final = (
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logit_bias",
)
_METADATA: Final = re.compile(r"[A-Za-z0-9\s:_@$#=/+,.-]{1,256}")
_MOST_PAIRS: Final = 16
_EFFORTS: Final = {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}


def encode_request(request: ir.Request, target: Target) -> Encoded:
    """The request for `POST /model/{id}/converse`. Raises MuxError BAD_REQUEST for content without a form."""
    check_shape(request, target)
    look, page = _look(request, target)
    slot, ordered = conversation.ordered(look)
    plan = thinking.plan(look, ordered)
    page.replay = plan.replay
    config, sentences, native = _tools(look, page)
    system = encode_blocks.blocks(slot, "system", page)
    turns = _with_prompt(ordered, system, page)
    output, sentence = _output(look, page)
    entries = _entries(turns, page, prefill=look.facts.prefill and not plan.on and output is None)
    _say(entries, [*sentences, *([sentence] if sentence and not page.quirks.system else [])])
    if sentence and page.quirks.system:
        system.append(wire.Block(text=sentence))
    encode_blocks.limited([config.tools if config else [], system, *(e[1] for e in entries)], _MOST_POINTS)
    native |= _thinking(plan, look, page)
    body: dict[str, Any] = {
        "messages": [{"role": role, "content": encode_blocks.encoded(content)} for role, content in entries]
    }
    if system:
        body["system"] = encode_blocks.encoded(system)
    inference = _inference(request, look, page, plan, native)
    if inference != wire.Inference():
        body["inferenceConfig"] = inference
    if config is not None:
        body["toolConfig"] = config
    if output is not None:
        body["outputConfig"] = output
    _add_rest(body, request, page, native)
    for knob in look.dropped:
        page.drop(knob)
    stops = tuple(stop for stop in request.stop if stop and not stop.strip())
    return Encoded(jsonx.encode(body), tuple(page.dropped), look.names, stops=stops)


def encode_count(request: ir.Request, target: Target) -> Encoded:
    """The request for `POST /model/{id}/count-tokens`."""
    encoded = encode_request(request, target)
    kept = ("messages", "system", "toolConfig", EXTRA)
    converse = {key: value for key, value in jsonx.top(encoded.body).items() if key in kept}
    return Encoded(msgspec.json.encode({"input": {"converse": converse}}), encoded.dropped, encoded.names)


def _look(request: ir.Request, target: Target) -> tuple[Outlook, Page]:
    """The request as Claude's own rules see it on this host, whoever sent it."""
    wanted = quirks.of(target.model)
    formal = wanted.structured
    facts = replace(quirks.FACTS, forced_tools=wanted.forced_tools, structured_outputs=formal, strict_tools=formal)
    plain = msgspec.structs.replace(request, protocol=NAME, extras={}, cache=None)
    look = outlook(plain, dataclasses.replace(target, quirks=facts))
    return look, Page(target, wanted, look.names)


def _tools(look: Outlook, page: Page) -> tuple[wire.ToolConfig | None, list[str], dict[str, Any]]:
    """`toolConfig`, sentences for what it cannot say, and Claude's own field for one call at a time."""
    box = encode_tools.toolbox(look)
    tools = [made for tool in box.tools for made in _tool(tool, page)]
    if not tools:
        return None, [], {}
    sentences = [box.sentence] if box.sentence else []
    choice, native = None, {}
    match box.choice:
        case None:
            pass
        case claude.ToolChoice(type="none"):
            if look.request.tools:
                sentences.append(_NO_TOOLS)
        case claude.ToolChoice(type="tool", name=name):
            choice = wire.ToolChoice(tool=wire.NamedTool(name or ""))
        case claude.ToolChoice(type=type_, disable_parallel_tool_use=single):
            choice = wire.ToolChoice(any={}) if type_ == "any" else wire.ToolChoice(auto={})
            if single and page.quirks.claude:
                native["tool_choice"] = box.choice
            elif single:
                page.drop("parallel_tool_calls")
    return wire.ToolConfig(tools, choice), sentences, native


def _tool(tool: claude.Tool | Raw, page: Page) -> list[wire.Tool]:
    """One tool, and the mark behind it. Fields that only Anthropic's own host knows are left out."""
    found = msgspec.json.decode(tool, type=claude.Tool) if isinstance(tool, Raw) else tool
    if found.type not in (None, "custom"):
        raise refused(f"The tool `{found.name or found.type}`", page.target.title, param="tools")
    schema = found.input_schema if isinstance(found.input_schema, Raw) else Raw(b'{"type":"object","properties":{}}')
    spec = wire.ToolSpec(found.name, wire.ToolSchema(schema), found.description or None, found.strict)
    made = [wire.Tool(toolSpec=spec)]
    if found.cache_control is not None and page.quirks.cache_points:
        made.append(wire.Tool(cachePoint=encode_blocks.point(ir.Cache(found.cache_control.ttl)).cachePoint))
    return made


def _with_prompt(turns: Sequence[ir.Message], system: Blocks, page: Page) -> Sequence[ir.Message]:
    """The turns, with the system text in the first of them where the model has no slot for it."""
    if page.quirks.system or not system:
        return turns
    texts = [block.text for block in system if isinstance(block, wire.Block) and block.text]
    system.clear()
    first = ir.Message("user", (ir.Text("\n\n".join(texts)),))
    return history.alternate([first, *turns])


def _entries(turns: Sequence[ir.Message], page: Page, *, prefill: bool) -> list[tuple[str, Blocks]]:
    """Turns whose roles alternate, the first a user's and, where the model cannot go on from its own, the last."""
    entries: list[tuple[str, Blocks]] = []
    for turn in turns:
        content = encode_blocks.blocks(turn.parts, turn.role, page)
        if content and entries and entries[-1][0] == turn.role:
            entries[-1][1].extend(content)
        elif content:
            entries.append((turn.role, content))
    if not entries or entries[0][0] != "user":
        entries.insert(0, ("user", [wire.Block(text=_GO_ON)]))
    if entries[-1][0] == "assistant":
        last = entries[-1][1][-1]
        if prefill and isinstance(last, wire.Block) and last.text is not None:
            entries[-1][1][-1] = wire.Block(text=last.text.rstrip())
        else:
            entries.append(("user", [wire.Block(text=_GO_ON)]))
            page.drop("prefill")
    return entries


def _say(entries: list[tuple[str, Blocks]], sentences: Sequence[str]) -> None:
    last = next(content for role, content in reversed(entries) if role == "user")
    last.extend(wire.Block(text=sentence) for sentence in sentences)


def _output(look: Outlook, page: Page) -> tuple[wire.OutputConfig | None, str | None]:
    form, sentence = encode_tools.output_format(look)
    if form is None or not isinstance(form.schema, Raw):
        return None, sentence
    asked = look.request.output
    text = form.schema if page.quirks.claude else asked.schema or form.schema
    schema = wire.JsonSchema(bytes(text).decode(), asked.name, asked.description)
    return wire.OutputConfig(wire.TextFormat("json_schema", wire.Structure(schema))), sentence


def _thinking(plan: thinking.Plan, look: Outlook, page: Page) -> dict[str, Any]:
    """The fields by which the model's family is told how deep to think."""
    if page.quirks.claude:
        native: dict[str, Any] = {} if plan.config is None else {"thinking": plan.config}
        if plan.effort is not None:
            native["output_config"] = {"effort": plan.effort}
        return native
    word = effort.of(look.request.thinking)
    look.dropped.pop("reasoning_effort", None)
    if word is None:
        return {}
    plain = _EFFORTS.get(word, word)
    if page.quirks.effort == "reasoning_effort":
        return {"reasoning_effort": plain}
    if page.quirks.effort == "reasoningConfig":
        on = word != "none"
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": plain} if on else {"type": "disabled"}}
    page.drop("reasoning_effort")
    return {}


def _inference(
    request: ir.Request, look: Outlook, page: Page, plan: thinking.Plan, native: dict[str, Any]
) -> wire.Inference:
    """`inferenceConfig`; what it has no place for goes into the model's own fields."""
    wanted = request.sampling
    for knob in _FOREIGN:
        if getattr(wanted, knob) not in (None, 0):
            page.drop(knob)
    temperature, top_p, top_k = wanted.temperature, wanted.top_p, wanted.top_k
    rule = look.facts.sampling if page.quirks.claude else "all"
    if page.quirks.claude and (plan.on or rule == "none"):
        for knob, value in (("temperature", temperature), ("top_p", top_p), ("top_k", top_k)):
            if value is not None and (value != 1 or knob == "top_k"):
                page.drop(knob)
        temperature = top_p = top_k = None
    if rule == "one" and temperature is not None and top_p is not None:
        if top_p != 1:
            page.drop("top_p")
        top_p = None
    if top_k is not None:
        _add_top_k(int(top_k), page, native)
    most = plan.max_tokens if page.quirks.claude else request.max_tokens
    stops = [stop for stop in request.stop if stop.strip()]
    return wire.Inference(most, None if temperature is None else min(temperature, 1.0), top_p, stops or None)


def _add_top_k(top_k: int, page: Page, native: dict[str, Any]) -> None:
    if page.quirks.claude:
        native["top_k"] = top_k
    elif page.quirks.effort == "reasoningConfig":
        native["inferenceConfig"] = {"topK": top_k}
    else:
        page.drop("top_k")


def _identity(user: str) -> str:
    """The end user as request metadata takes it; a hash of what it does not."""
    return user if _METADATA.fullmatch(user) else digest(user)


def _request_metadata(request: ir.Request, page: Page) -> Raw | dict[str, str] | None:
    """Metadata as it came; another format's with the end user, where they make legal pairs."""
    if request.metadata is not None and request.protocol == NAME:
        return request.metadata
    pairs = {} if request.user is None else {"user_id": _identity(request.user)}
    if request.metadata is None:
        return pairs
    try:
        more = jsonx.decode(bytes(request.metadata), dict[str, str])
    except jsonx.Malformed:
        more = None
    if (
        more is None
        or len(more) + len(pairs) > _MOST_PAIRS
        or not all(map(_METADATA.fullmatch, (*more, *more.values())))
    ):
        page.drop("metadata")
        return pairs
    return more | pairs


def _add_rest(body: dict[str, Any], request: ir.Request, page: Page, native: dict[str, Any]) -> None:
    """Tier and metadata, and this format's own fields back into it."""
    if request.service_tier is not None:
        tier = request.service_tier if request.protocol == NAME else _TIERS.get(request.service_tier)
        if tier is None:
            page.drop("service_tier")
        else:
            body["serviceTier"] = wire.Tier(tier)
    if told := _request_metadata(request, page):
        body["requestMetadata"] = told
    if request.verbosity is not None:
        page.drop("verbosity")
    if history.names_speakers(request.messages):
        page.drop("messages.name")
    if request.protocol != NAME:
        for name in lost_fields(request):
            page.drop(name)
    else:
        body.update({key: value for key, value in request.extras.items() if key != EXTRA})
        if EXTRA in request.extras:
            native = {**jsonx.top(bytes(request.extras[EXTRA])), **native}
    if native:
        body[EXTRA] = native
