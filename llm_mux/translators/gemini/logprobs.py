"""Log probabilities: Gemini's two parallel lists, and the list of tokens that the canonical form has."""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct

from llm_mux.translators.gemini import wire
from llm_mux.wire import jsonx


class _Top(Struct, frozen=True):
    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None


class _Token(Struct, frozen=True):
    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None
    top_logprobs: list[_Top] = []


class _Wrapped(Struct, frozen=True):
    content: list[_Token] | None = None


def decode_logprobs(value: wire.RawField) -> Raw | None:
    """The tokens of a `logprobsResult`, each with the best alternatives at its place."""
    if not isinstance(value, Raw) or bytes(value) == b"null":
        return None
    result = jsonx.decode(bytes(value), wire.LogprobsResult)
    tops = result.topCandidates or []
    tokens = [
        _Token(one.token or "", one.logProbability or 0.0, _bytes(one), _tops(tops, position))
        for position, one in enumerate(result.chosenCandidates or ())
    ]
    return Raw(jsonx.encode(tokens)) if tokens else None


def _tops(tops: list[wire.TopCandidates], position: int) -> list[_Top]:
    if position >= len(tops):
        return []
    return [_Top(one.token or "", one.logProbability or 0.0, _bytes(one)) for one in tops[position].candidates or ()]


def _bytes(one: wire.TokenCandidate) -> list[int]:
    return list((one.token or "").encode("utf-8", "replace"))


def _listed(tokens: bytes) -> list[_Token]:
    if tokens.lstrip().startswith(b"{"):
        return jsonx.decode(tokens, _Wrapped).content or []
    return jsonx.decode(tokens, list[_Token])


def encode_logprobs(tokens: Raw | None) -> wire.RawField:
    """A `logprobsResult` of the canonical list of tokens; none of what is no such list."""
    if tokens is None or bytes(tokens) == b"null":
        return UNSET
    try:
        listed = _listed(bytes(tokens))
    except jsonx.Malformed:
        return UNSET
    result = wire.LogprobsResult(
        chosenCandidates=[wire.TokenCandidate(one.token, one.logprob) for one in listed],
        topCandidates=[
            wire.TopCandidates([wire.TokenCandidate(top.token, top.logprob) for top in one.top_logprobs])
            for one in listed
        ],
    )
    return Raw(jsonx.encode(result))
