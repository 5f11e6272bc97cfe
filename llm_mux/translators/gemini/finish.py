"""How an answer ended, both ways. Gemini ends a turn with calls by STOP: what was emitted decides.

What a candidate says beside its content (ratings, grounding, a continuation token) rides in the finish's native for
clients of this format. Spec: https://ai.google.dev/api/generate-content#FinishReason
"""

from __future__ import annotations

from operator import attrgetter

from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.translators.gemini import wire
from llm_mux.translators.gemini.seals import OWNER
from llm_mux.wire import jsonx

_REASONS: dict[str, ir.FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filtered",
    "RECITATION": "filtered",
    "LANGUAGE": "filtered",
    "BLOCKLIST": "filtered",
    "PROHIBITED_CONTENT": "filtered",
    "SPII": "filtered",
    "MODEL_ARMOR": "filtered",
    "IMAGE_SAFETY": "filtered",
    "IMAGE_PROHIBITED_CONTENT": "filtered",
    "IMAGE_RECITATION": "filtered",
    "IMAGE_OTHER": "filtered",
    "CONTINUATION": "paused",
    "MALFORMED_FUNCTION_CALL": "broken",
    "UNEXPECTED_TOOL_CALL": "broken",
    "TOO_MANY_TOOL_CALLS": "broken",
    "MISSING_THOUGHT_SIGNATURE": "broken",
    "MALFORMED_RESPONSE": "broken",
}
_WORDS: dict[ir.FinishReason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "paused": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filtered": "SAFETY",
    "refusal": "SAFETY",
    "broken": "MALFORMED_FUNCTION_CALL",
}


_beside = attrgetter(*wire.FINISH_FIELDS)
_NOTHING = (UNSET,) * len(wire.FINISH_FIELDS)


OUT_OF_TOKENS: frozenset[ir.FinishReason] = frozenset({"length", "context"})


class Ending(Struct, frozen=True, omit_defaults=True):
    """What this format said at the end of a candidate, or instead of all candidates."""

    finishReason: str | None = None
    finishMessage: str | None = None
    promptFeedback: wire.PromptFeedback | None = None
    safetyRatings: wire.RawField = UNSET
    citationMetadata: wire.RawField = UNSET
    groundingMetadata: wire.RawField = UNSET
    urlContextMetadata: wire.RawField = UNSET
    avgLogprobs: wire.RawField = UNSET
    continuationToken: wire.RawField = UNSET


def decode_finish(kept: dict[str, object], choice: int, *, called: bool, spoke: bool, cut: bool = False) -> ir.Finish:
    """The finish of a candidate. `kept`: its `finishReason` and what else it said; `spoke`: whether any part came.

    Whole calls win over the token limit, for they can be run; `cut`: the last call never became whole and was left out.
    """
    word = str(kept.get("finishReason") or "")
    message = kept.get("finishMessage")
    reason = _REASONS.get(word) or ("stop" if spoke else "filtered")
    if called and (reason == "stop" or (reason == "length" and not cut)):
        reason = "tool_calls"
    plain = kept.keys() == {"finishReason"} and word in ("STOP", "MAX_TOKENS")
    return ir.Finish(
        reason,
        choice,
        detail=str(message) if message else (None if word in ("STOP", "MAX_TOKENS") else word or None),
        native=None if plain else ir.Native(OWNER, Raw(jsonx.encode(kept))),
    )


def blocked(feedback: wire.PromptFeedback) -> ir.Finish:
    """The finish of an answer that the prompt's filter put in place of all candidates."""
    native = ir.Native(OWNER, Raw(jsonx.encode({"promptFeedback": feedback})))
    return ir.Finish("filtered", detail=feedback.blockReasonMessage or feedback.blockReason, native=native)


def keep(candidate: wire.Candidate, kept: dict[str, object]) -> None:
    """Adds what a record says about the end of its candidate; later records win."""
    if candidate.finishReason is not None:
        kept["finishReason"] = candidate.finishReason
    if candidate.finishMessage is not None:
        kept["finishMessage"] = candidate.finishMessage
    beside = _beside(candidate)
    if beside != _NOTHING:
        kept.update((name, v.copy()) for name, v in zip(wire.FINISH_FIELDS, beside, strict=True) if v is not UNSET)


def ending(finish: ir.Finish) -> Ending:
    """What to write at the end of a candidate for a client of this format."""
    if finish.native is not None and finish.native.owner == OWNER:
        own = jsonx.decode(bytes(finish.native.data), Ending)
        if own.finishReason is not None or own.promptFeedback is not None:
            return own
    return Ending(finishReason=_WORDS[finish.reason], finishMessage=finish.detail)


def candidate(
    end: Ending,
    *,
    content: wire.Turn | None,
    index: int,
    grounding: wire.RawField = UNSET,
    logprobs: wire.RawField = UNSET,
) -> wire.CandidateOut:
    """The candidate that says `end`."""
    return wire.CandidateOut(
        content=content,
        finishReason=end.finishReason,
        index=index,
        finishMessage=end.finishMessage,
        safetyRatings=end.safetyRatings,
        citationMetadata=end.citationMetadata,
        groundingMetadata=grounding,
        urlContextMetadata=end.urlContextMetadata,
        avgLogprobs=end.avgLogprobs,
        logprobsResult=logprobs,
        continuationToken=end.continuationToken,
    )
