"""Whole answers, both ways.

Rule: parts are taken and given one by one, with the same rules as in streams; nothing is joined.
Spec: https://ai.google.dev/api/generate-content#generatecontentresponse
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.translators import tools
from llm_mux.translators.base import Summary, Target, nonsense, present
from llm_mux.translators.gemini import answer_parts, citations, errors, finish, wire
from llm_mux.translators.gemini.logprobs import decode_logprobs, encode_logprobs
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.translators.gemini.usage import decode_usage, encode_usage
from llm_mux.wire import jsonx


def decode_response(body: bytes, target: Target) -> ir.Response:
    """The answer in `body`, also as the records of a stream in a list. Raises for errors that came with status 200."""
    try:
        answer = _answer(body)
        return _response(answer, target)
    except jsonx.Malformed as error:
        raise nonsense(f"an answer that cannot be read ({error})") from error


def _answer(body: bytes) -> wire.Answer:
    text = body.strip()
    if text.startswith(b"["):
        records = jsonx.decode(text, list[Raw])
        if len(records) != 1:
            raise nonsense("a list of records where one answer was asked for")
        text = bytes(records[0])
    answer = jsonx.decode(text, wire.Answer)
    if isinstance(answer.error, Raw) and present(answer.error):
        raise errors.decode_failure(text)
    return answer


def _response(answer: wire.Answer, target: Target) -> ir.Response:
    candidates = answer.candidates or []
    if candidates:
        choices = tuple(_choice(answer, candidate, at, target) for at, candidate in enumerate(candidates))
    elif answer.promptFeedback is not None and answer.promptFeedback.blockReason:
        choices = (ir.Choice((), finish.blocked(answer.promptFeedback)),)
    else:
        raise nonsense("an answer without candidates")
    searched = sum(citations.searches(candidate) for candidate in candidates)
    return ir.Response(
        id=answer.responseId or "",
        model=answer.modelVersion or target.model,
        choices=choices,
        usage=decode_usage(answer.usageMetadata, searched) if answer.usageMetadata is not None else None,
        owner=OWNER,
    )


def _choice(answer: wire.Answer, candidate: wire.Candidate, at: int, target: Target) -> ir.Choice:
    index = at if candidate.index is None else candidate.index
    calls = answer_parts.CallCount(answer_parts.seed(answer), index)
    family = ir.family(target.model)
    said = candidate.content.parts or [] if candidate.content is not None else []
    ended = [part for part in said if part.functionCall is None or not part.functionCall.willContinue]
    decoded = [made for part in ended if (made := answer_parts.decode_part(part, family, calls)) is not None]
    parts = _with_citations(decoded, candidate)
    kept: dict[str, object] = {}
    finish.keep(candidate, kept)
    cut = len(ended) < len(said)
    end = finish.decode_finish(kept, index, called=calls.count > 0, spoke=bool(parts), cut=cut)
    return ir.Choice(parts, end, decode_logprobs(candidate.logprobsResult))


def _with_citations(parts: list[ir.Part], candidate: wire.Candidate) -> tuple[ir.Part, ...]:
    """The citations on the text parts they fall into; Gemini counts over the whole visible text."""
    texts = [part for part in parts if isinstance(part, ir.Text)]
    found = citations.cited(candidate, ir.joined(texts)) if texts else []
    if not found:
        return tuple(parts)
    made: list[ir.Part] = []
    start = 0
    for part in parts:
        if isinstance(part, ir.Text):
            first, last = part is texts[0], part is texts[-1]
            mine = citations.within(found, start, len(part.text), first=first, last=last)
            made.append(msgspec.structs.replace(part, citations=mine))
            start += len(part.text)
        else:
            made.append(part)
    return tuple(made)


def encode_response(response: ir.Response, request: ir.Request) -> bytes:
    """A whole answer for a client of this format."""
    candidates = [_candidate(choice, request) for choice in response.choices]
    feedback = next((f for c in response.choices if (f := finish.ending(c.finish).promptFeedback) is not None), None)
    answer = wire.AnswerOut(
        candidates=None if feedback is not None else candidates,
        promptFeedback=feedback,
        usageMetadata=encode_usage(response.usage) if response.usage is not None else None,
        modelVersion=response.model,
        responseId=response.id,
    )
    return jsonx.encode(answer)


def _candidate(choice: ir.Choice, request: ir.Request) -> wire.CandidateOut:
    parts = encoded_parts(tools.whole_parts(choice), request)
    end = finish.ending(choice.finish)
    grounding = end.groundingMetadata if isinstance(end.groundingMetadata, Raw) else citations.of_parts(choice.parts)
    return finish.candidate(
        end,
        content=wire.Turn(parts=parts, role="model") if parts else None,
        index=choice.finish.choice,
        grounding=grounding,
        logprobs=encode_logprobs(choice.logprobs),
    )


def encoded_parts(parts: Sequence[ir.Part], request: ir.Request) -> list[wire.Part | Raw]:
    """The parts for a client; thoughts that it did not ask to see only where a seal has to come back with them."""
    shown = request.thinking.show is True
    wanted = (p for p in parts if shown or not isinstance(p, ir.Reasoning) or p.native is not None)
    return [made for part in wanted if (made := answer_parts.encode_part(part)) is not None]


def summary(body: bytes) -> Summary:
    """What the books need of an answer that goes through untouched; empty when it cannot be read."""
    try:
        answer = _answer(body)
    except (jsonx.Malformed, MuxError):
        return Summary()
    ends = [candidate.finishReason for candidate in answer.candidates or () if candidate.finishReason]
    called = any(
        part.functionCall is not None
        for candidate in answer.candidates or ()
        if candidate.content is not None
        for part in candidate.content.parts or ()
    )
    reason = finish.decode_finish({"finishReason": ends[0]}, 0, called=called, spoke=True).reason if ends else None
    return Summary(
        usage=decode_usage(answer.usageMetadata) if answer.usageMetadata is not None else None,
        finish=reason,
        model=answer.modelVersion,
        id=answer.responseId,
    )
