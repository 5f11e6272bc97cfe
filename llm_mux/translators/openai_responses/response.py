"""Whole answers: an upstream's to the canonical form, the canonical form to a client's, and the summary for the books.

Rule: a tool call does not show in `status`; how an answer ended is decided from its items. An answer that carries an
error, or that is not finished, is an error. Spec: the Responses API page, section 6; translation matrix, 9 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.translators.base import Summary, Target, nonsense
from llm_mux.translators.openai_responses import answer, errors, output, wire
from llm_mux.translators.openai_responses.quirks import quirks_of
from llm_mux.translators.openai_responses.reading import OWNER, present
from llm_mux.wire import jsonx


def decode_response(body: bytes, target: Target) -> ir.Response:
    """An upstream's whole answer. Raises MuxError for an error inside a 200 and for nonsense."""
    try:
        found = jsonx.decode(body, wire.Response, strict=False)
    except jsonx.Malformed as error:
        raise nonsense(f"an answer that cannot be read ({error})") from None
    check(found)
    family, own_calls = ir.family(target.model), quirks_of(target).shows_own_calls
    parts: list[ir.Part] = []
    for index, raw in enumerate(found.output or ()):
        if own_calls and output.kind_of(raw) == output.FREE_TEXT_CALL:
            continue
        parts.extend(output.parts_of(raw, family, found.id or "", index))
    if found.output is None:
        raise nonsense("an answer without output")
    extras = {"service_tier": Raw(msgspec.json.encode(found.service_tier))} if found.service_tier else {}
    return ir.Response(
        id=found.id or "",
        model=found.model or target.model,
        choices=(ir.Choice(tuple(parts), finish_of(found, parts), output.logprobs_of(found.output)),),
        usage=usage_of(found),
        created=int(found.created_at or 0),
        owner=OWNER,
        extras=extras,
    )


def check(found: wire.Response) -> None:
    """Raises the failure that a response object tells of."""
    if found.status in ("failed", "cancelled") or (present(found.error) and not found.output):
        raw = found.error if present(found.error) else None
        raise errors.event_error(raw, f"The provider's answer is {found.status}.")
    if found.status in ("in_progress", "queued"):
        raise nonsense("an answer that is not finished")


def finish_of(found: wire.Response, parts: Sequence[ir.Part]) -> ir.Finish:
    """How the answer ended: a limit or a filter by its status, everything else by what it holds."""
    reason = found.incomplete_details.reason if found.incomplete_details else None
    if found.status == "incomplete" or reason:
        if reason == "content_filter":
            return ir.Finish("filtered")
        if reason != "steered":
            return ir.Finish("length")
    if any(isinstance(part, ir.ToolCall) for part in parts):
        return ir.Finish("tool_calls")
    if any(isinstance(part, ir.Refusal) for part in parts):
        return ir.Finish("refusal")
    return ir.Finish("stop")


def usage_of(found: wire.Response) -> ir.Usage | None:
    """The tokens of a response object; None when it says nothing (all zeros are a placeholder)."""
    usage = found.usage
    if usage is None or not (usage.input_tokens or usage.output_tokens):
        return None
    details = usage.input_tokens_details or wire.CachedDetails()
    read, written = max(0, details.cached_tokens or 0), max(0, details.cache_write_tokens or 0)
    prompt, made = max(0, usage.input_tokens or 0), max(0, usage.output_tokens or 0)
    thought = usage.output_tokens_details.reasoning_tokens if usage.output_tokens_details else None
    if thought and usage.total_tokens == prompt + made + thought:
        made += thought
    searches = found.tool_usage.web_search if found.tool_usage else None
    return ir.Usage(
        input=max(0, prompt - read - written),
        output=made,
        cache_read=min(read, prompt),
        cache_write=min(written, max(0, prompt - read)),
        reasoning=thought,
        searches=searches.num_requests or 0 if searches else 0,
    )


def encode_response(response: ir.Response, request: ir.Request) -> bytes:
    """A whole answer for a client."""
    client = answer.client_of(request)
    id_ = answer.response_id(response.id)
    choice = response.choices[0] if response.choices else ir.Choice((), ir.Finish("stop"))
    end = answer.ending(choice.finish, client)
    made = answer.Object(request, id_, response.model or request.model, response.created)
    changes: dict[str, object] = {
        "output": answer.output_items(choice.parts, choice.finish, id_, client, choice.logprobs),
        "usage": answer.usage_out(response.usage),
        "incomplete_details": {"reason": end.reason} if end.reason else None,
        "error": end.error,
    }
    if response.owner == OWNER and "service_tier" in response.extras:
        changes["service_tier"] = response.extras["service_tier"]
    return jsonx.encode(made.at(end.status, **changes))


def summary(body: bytes) -> Summary:
    """What the books need of an answer that went through untouched; never raises."""
    try:
        found = jsonx.decode(body, wire.Response, strict=False)
    except jsonx.Malformed:
        return Summary()
    finish = None
    if found.status in ("completed", "incomplete"):
        kinds = [output.kind_of(raw) for raw in found.output or ()]
        called = any(kind in output.CALLS for kind in kinds)
        plain = finish_of(found, ())
        finish = "tool_calls" if called and plain.reason == "stop" else plain.reason
    return Summary(usage_of(found), finish, found.model, found.id)
