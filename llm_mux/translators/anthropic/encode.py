"""A canonical request as a Messages request for one target.

Rules. Same request, same bytes. Knobs the target lacks are dropped and named; what would change the answer's shape
(`n`, log probabilities, other modalities) is refused. Fields that only this format knows go back only to it. The API
refuses stop strings of white space, so the daemon cuts at those.
Spec: the Messages API page, section 1; translation matrix, section 7.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import refused
from llm_mux.translators import history
from llm_mux.translators.anthropic import conversation, encode_tools, marks, quirks, thinking, wire
from llm_mux.translators.anthropic.encode_blocks import Blocks, blocks
from llm_mux.translators.anthropic.outlook import Outlook, outlook
from llm_mux.translators.base import Encoded, Target
from llm_mux.translators.foreign import lost_fields, refuse_thread
from llm_mux.translators.memory import Thread
from llm_mux.wire import jsonx

_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard": "standard_only"}
_COUNTED: Final = frozenset(
    {"model", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "messages", "speed"}
    | {"mcp_servers", "context_management", "compaction", "billing_policy"}
)


def encode_request(request: ir.Request, target: Target) -> Encoded:
    """The request for `POST /v1/messages`. Raises MuxError BAD_REQUEST for content without a form."""
    look = outlook(request, target)
    check_shape(request, target)
    slot, turns = conversation.ordered(look)
    plan = thinking.plan(look, turns)
    box = encode_tools.toolbox(look)
    form, sentence = encode_tools.output_format(look)
    prefill = look.facts.prefill and not plan.on and form is None
    known: list[Raw] = []
    if type(request.messages) is Thread and not box.sentence:
        known = conversation.sealed(turns, look, thinking=plan.replay)
    entries = conversation.encode(turns[len(known) :], look, thinking=plan.replay, prefill=prefill, begun=bool(known))
    if known and (not entries or entries[0].role == turns[len(known) - 1].role):
        known, entries = [], conversation.encode(turns, look, thinking=plan.replay, prefill=prefill)
    if box.sentence:
        _say(entries, box.sentence)
    system: Blocks = blocks(slot, "system", look)
    if sentence:
        system.append(wire.Text(sentence))
    most = look.quirks.max_cache_marks - (1 if request.cache is not None else 0)
    marks.limit([box.tools, system, *(() if look.bare else [entry.content for entry in entries])], most)
    body: dict[str, Any] = {"model": target.model, "max_tokens": plan.max_tokens}
    if system:
        body["system"] = system
    if box.tools:
        body["tools"] = box.tools
    if box.choice is not None:
        body["tool_choice"] = box.choice
    body["messages"] = [*known, *(entry.finished() for entry in entries)]
    _add_settings(body, look, plan, form)
    _add_extras(body, look, thinks=plan.on)
    return Encoded(
        body=jsonx.encode(body),
        dropped=tuple(look.dropped),
        names=look.names,
        stops=tuple(stop for stop in request.stop if stop and not stop.strip()),
        headers={"anthropic-beta": plan.beta} if plan.beta else {},
    )


def encode_count(request: ir.Request, target: Target) -> Encoded:
    """The request for `POST /v1/messages/count_tokens`: the same without what only generation takes."""
    encoded = encode_request(request, target)
    kept = {key: value for key, value in jsonx.top(encoded.body).items() if key in _COUNTED}
    return Encoded(msgspec.json.encode(kept), encoded.dropped, encoded.names, headers=encoded.headers)


def check_shape(request: ir.Request, target: Target) -> None:
    """Raises MuxError BAD_REQUEST for what changes the answer's shape and has no form here."""
    sampling = request.sampling
    if sampling.n is not None and sampling.n > 1:
        raise refused("`n` above 1", target.title, param="n")
    if sampling.logprobs or sampling.top_logprobs:
        raise refused("Asking for log probabilities", target.title, param="logprobs")
    for modality in request.modalities:
        if modality.lower() != "text":
            raise refused(f"Output of type `{modality}`", target.title, param="modalities")


def _say(entries: list[conversation.Entry], sentence: str) -> None:
    """Puts a wish into the last user turn, behind everything that earlier thoughts are bound to."""
    last = next((entry for entry in reversed(entries) if entry.role == "user"), None)
    if last is not None:
        last.content.append(wire.Text(sentence))


class _OutputConfig(Struct, frozen=True, omit_defaults=True):
    effort: str | None = None
    format: wire.Format | None = None


def _add_settings(body: dict[str, Any], look: Outlook, plan: thinking.Plan, form: wire.Format | None) -> None:
    request = look.request
    if plan.config is not None:
        body["thinking"] = plan.config
    if plan.effort is not None or form is not None:
        body["output_config"] = _OutputConfig(plan.effort, form)
    body.update(_sampling(look, thinks=plan.on))
    stops = [stop for stop in request.stop if stop.strip()]
    if stops:
        body["stop_sequences"] = stops
    if request.stream:
        body["stream"] = True
    if request.user:
        body["metadata"] = wire.Metadata(request.user)
    if request.cache is not None and look.quirks.max_cache_marks:
        body["cache_control"] = marks.control(request.cache.ttl)
    _add_tier(body, look)
    if history.names_speakers(request.messages):
        look.drop("messages.name")
    for knob, value in (("verbosity", request.verbosity), ("metadata", request.metadata)):
        if value is not None:
            look.drop(knob)


def _add_tier(body: dict[str, Any], look: Outlook) -> None:
    tier = look.request.service_tier
    if tier is None:
        return
    known = tier if look.own and tier not in _TIERS else _TIERS.get(tier)
    if known is None:
        look.drop("service_tier")
    else:
        body["service_tier"] = known


_FOREIGN_KNOBS: Final = (
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logit_bias",
)


def _sampling(look: Outlook, *, thinks: bool) -> dict[str, float]:
    """The sampling that the model takes beside its thinking; a value that is the default anyway goes unreported."""
    wanted = look.request.sampling
    for knob in _FOREIGN_KNOBS:
        if getattr(wanted, knob) not in (None, 0):
            look.drop(knob)
    temperature, top_p, top_k = wanted.temperature, wanted.top_p, wanted.top_k
    if thinks or look.facts.sampling == "none":
        for knob, value in (("temperature", temperature), ("top_p", top_p), ("top_k", top_k)):
            if value is not None and (value != 1 or knob == "top_k"):
                look.drop(knob)
        return {}
    if look.facts.sampling == "one" and temperature is not None and top_p is not None:
        if top_p != 1:
            look.drop("top_p")
        top_p = None
    if temperature is not None and look.facts.sampling == "one":
        temperature = min(temperature, 1.0)
    chosen = {"temperature": temperature, "top_p": top_p, "top_k": _whole(top_k)}
    return {knob: value for knob, value in chosen.items() if value is not None}


def _whole(value: float | None) -> float | None:
    return int(value) if value is not None and value == int(value) else value


def _add_extras(body: dict[str, Any], look: Outlook, *, thinks: bool) -> None:
    """This format's own fields back into it, and out with what the host does not know.

    Clearing old thoughts is refused where there is no thinking.
    """
    if not look.own:
        for name in lost_fields(look.request):
            look.drop(name)
    if look.own and not look.quirks.binding_controls:
        refuse_thread(look.request, look.target)
    if look.own:
        for key, value in look.request.extras.items():
            if key == "context_management" and not thinks and b'"clear_thinking_' in bytes(value):
                look.drop(key)
                continue
            body[key] = _merged(body.get(key), value)
    for key in sorted(look.quirks.unsupported):
        if key in body and key not in ("model", "messages", "max_tokens"):
            del body[key]
            look.drop(quirks.REPORTED.get(key, key))


def _merged(made: Any, extra: Raw) -> Any:
    """An extra field; beside one that was made (`output_config`) its members are added to it."""
    if made is None:
        return extra
    return {**jsonx.top(bytes(extra)), **jsonx.top(msgspec.json.encode(made))}
