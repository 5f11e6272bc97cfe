"""Choices of an endpoint that several vendors need: which format a model of theirs is best asked in."""

from __future__ import annotations

from llm_mux.providers.base import Endpoints
from llm_mux.translators.openai_chat.models import prefers_responses
from llm_mux.translators.openai_models import version

_FIRST_WITH_BOTH = (5, 6)


def responses_for_new_gpt(model: str, endpoints: Endpoints, body: bytes) -> Endpoints:
    """From gpt-5.6 on function tools and reasoning go together in Responses only: it comes first for everybody, and a
    chat client that asks for both is sent there too."""
    number = version(model)
    if number is None or number < _FIRST_WITH_BOTH:
        return endpoints
    both = prefers_responses(body, model)
    kept = tuple(e for e in endpoints if not (both and e.translator == "openai_chat")) or endpoints
    return tuple(sorted(kept, key=lambda endpoint: endpoint.translator != "openai_responses"))


def only(translator: str, endpoints: Endpoints) -> Endpoints:
    """The endpoints of one format, or all when it is not there."""
    return tuple(e for e in endpoints if e.translator == translator) or endpoints


def without(translator: str, endpoints: Endpoints) -> Endpoints:
    return tuple(e for e in endpoints if e.translator != translator) or endpoints
