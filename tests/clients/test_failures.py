"""Why an upstream refused, told to every SDK as its own protocol tells it: the status, the words that tools look for, and
nothing of the account."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.conversation import Ask, User
from tests.clients.crossing import DIRECT, DRIVERS, PYTHON, Mux, Play
from tests.fake_upstream import Reply

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

ASK = Ask((User("hello"),))
KEY = "played"
"""The account's key at the played upstream."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an upstream says: status, its own kind, its words."""

    status: int
    kind: str
    words: str


def reply(format_: str, refusal: Refusal) -> Reply:
    """In the upstream's own shape."""
    status, kind, words = refusal.status, refusal.kind, refusal.words
    shapes: Mapping[str, Any] = {
        "anthropic": {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"},
        "gemini": {"error": {"code": status, "message": words, "status": kind}},
        "ollama": {"error": words},
        "bedrock": {"message": words},
    }
    body = shapes.get(
        format_, {"error": {"message": words, "type": "invalid_request_error", "code": kind, "param": None}}
    )
    return Reply(json.dumps(body).encode(), status, {"x-amzn-errortype": kind} if format_ == "bedrock" else {})


TOO_LONG = {
    "openai-chat": Refusal(400, "context_length_exceeded", "This endpoint's maximum context length is 200000 tokens."),
    "openai-responses": Refusal(400, "context_length_exceeded", "Your input exceeds the context window of this model."),
    "anthropic": Refusal(400, "invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    "gemini": Refusal(
        400,
        "INVALID_ARGUMENT",
        "The input token count (250000) exceeds the maximum number of tokens allowed (200000).",
    ),
    "ollama": Refusal(400, "", "the input length exceeds the context length"),
    "bedrock": Refusal(400, "ValidationException", "Input is too long for requested model."),
}
RECOGNISED = {
    "openai-chat": "context_length_exceeded",
    "openai-responses": "context_length_exceeded",
    "anthropic": "prompt is too long",
    "gemini": "exceeds the maximum",
    "ollama": "",
    "bedrock": "too long",
}
"""What tools look for in each protocol; Ollama has no words for it."""


@pytest.mark.covers("RC-11")
@pytest.mark.parametrize("driver", list(DRIVERS), indirect=True)
def test_too_long_a_prompt_is_told_in_the_words_that_tools_look_for(play: Play, daemon_of_clients: Mux) -> None:
    daemon_of_clients.forget_failures()
    play.played.answers(reply(play.model.format, TOO_LONG[play.model.format]))
    with pytest.raises(Exception) as failure:
        play.ask(ASK)
    told = failure.value
    assert not isinstance(told, AssertionError), told
    body = getattr(told, "body", None) or getattr(told, "response", None) or told
    recognised = RECOGNISED[play.driver.protocol]
    assert recognised in f"{told} {body}", told
    in_stream = play.mode == "stream" and play.driver.protocol == "openai-responses"
    if not in_stream:  # where Codex sees it only as an event
        assert play.driver.status_of(told) == 400


AUTH = {
    "anthropic": Refusal(401, "authentication_error", f"invalid x-api-key {KEY}"),
    "gemini": Refusal(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "bedrock": Refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
}
OVERLOADED = {
    "anthropic": Refusal(529, "overloaded_error", "Overloaded"),
    "gemini": Refusal(503, "UNAVAILABLE", "The model is overloaded."),
    "bedrock": Refusal(503, "ServiceUnavailableException", "Too busy."),
}
MISSING = {
    "anthropic": Refusal(404, "not_found_error", "model: claude-opus-5"),
    "gemini": Refusal(404, "NOT_FOUND", "models/x is not found for API version v1beta."),
    "bedrock": Refusal(404, "ResourceNotFoundException", "Could not resolve the foundation model."),
}
OTHERS = {
    "a key that is refused": (AUTH, Refusal(401, "invalid_api_key", f"Incorrect API key provided: {KEY}"), {500, 502}),
    "too much to do": (OVERLOADED, Refusal(503, "server_error", "The engine is overloaded."), {503, 529}),
    "a model that is not there": (MISSING, Refusal(404, "model_not_found", "The model does not exist."), {404}),
}


@pytest.mark.parametrize("driver", list(PYTHON), indirect=True)
@pytest.mark.parametrize("what", list(OTHERS))
def test_what_is_wrong_with_an_account_is_not_the_clients_fault(play: Play, daemon_of_clients: Mux, what: str) -> None:
    daemon_of_clients.forget_failures()
    special, usual, statuses = OTHERS[what]
    play.played.answers(reply(play.model.format, special.get(play.model.format, usual)))
    with pytest.raises(Exception) as failure:
        play.ask(ASK)
    assert play.driver.status_of(failure.value) in statuses, failure.value
    assert f" {KEY}" not in str(failure.value)
