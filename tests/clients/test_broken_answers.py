"""Upstreams that break off or talk nonsense: every SDK raises, none is given an end that the upstream did not say."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.clients.conversation import WEATHER, Answer, Ask, User
from tests.clients.crossing import DIRECT, JAVASCRIPT, PYTHON, Mux, Play
from tests.clients.played import MODELS, Model
from tests.clients.scenes import MEDIA, Scene, records, said, streamed, whole
from tests.fake_upstream import RESET, Reply

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

ASK = Ask((User("hello"),), tools=(WEATHER,), think=True)
SCENE = Scene("Let me think.", "c2VhbGVk", "Hello there.", "call_1", {"city": "Oslo"})

streams = pytest.mark.parametrize("mode", ["stream"], indirect=True)
python_ones = pytest.mark.parametrize("driver", list(PYTHON), indirect=True)

AFTER_THE_FINISH = {"openai-chat": 2, "anthropic": 1, "bedrock": 1}
"""How many records may come after the one that says why the answer ended: without them it is complete all the same."""


def heard(play: Play) -> Answer | Exception:
    """What the SDK made of the answer. An assertion is the driver's: it got something that no answer looks like."""
    try:
        return play.ask(ASK)
    except AssertionError:
        raise
    except Exception as error:
        return error


def is_whole(answer: Answer, play: Play) -> bool:
    told = (answer.reasoning, answer.text, [call.arguments for call in answer.calls], answer.stop)
    return told == (SCENE.thought, SCENE.text, [dict(SCENE.arguments)], play.driver.words.tool)


@pytest.mark.covers("RC-7", "FB-104", "PF-9")
@streams
@pytest.mark.parametrize("end", ["closed", "reset"])
def test_a_stream_cut_after_any_record_is_no_answer(play: Play, daemon_of_clients: Mux, end: str) -> None:
    told = records(play.model.format, SCENE)
    tail = [RESET] if end == "reset" else []
    for kept in range(len(told)):
        daemon_of_clients.forget_failures()
        play.played.answers(streamed(play.model.format, [*told[:kept], *tail]))
        got = heard(play)
        if kept < len(told) - AFTER_THE_FINISH.get(play.model.format, 0):
            assert isinstance(got, Exception), (kept, told[kept - 1], got)
        else:
            assert isinstance(got, Exception) or is_whole(got, play), (kept, got)


PAGE = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
ERROR = {"type": "server_error", "code": "server_error", "message": "scripted trouble", "status": "INTERNAL"}
ERRORS: Mapping[str, Any] = {
    "ollama": {"error": ERROR["message"]},
    "gemini": {"error": ERROR | {"code": 500}},
    "anthropic": {"type": "error", "error": ERROR | {"type": "api_error"}},
    "bedrock": {"message": ERROR["message"], "__type": "InternalServerException"},
}


def error_in_200(model: Model) -> Reply:
    body = json.dumps(ERRORS.get(model.format, {"error": ERROR})).encode()
    return Reply(body)


def truncated(model: Model) -> Reply:
    body = whole(model.format, SCENE).body
    assert isinstance(body, bytes)
    return Reply(body[: len(body) // 2])


NONSENSE: Mapping[str, Callable[[Model], Reply]] = {
    "a page": lambda model: Reply(PAGE, content_type="text/html"),
    "a page that calls itself JSON": lambda model: Reply(PAGE),
    "a page that calls itself a stream": lambda model: Reply(
        PAGE, content_type=MEDIA.get(model.format, "text/event-stream")
    ),
    "a page with its status": lambda model: Reply(PAGE, 502, content_type="text/html"),
    "nothing": lambda model: Reply(b""),
    "half of it": truncated,
    "an error in a 200": error_in_200,
    "other JSON": lambda model: Reply(b'{"hello": "world"}'),
    "a list": lambda model: Reply(b"[]"),
    "null": lambda model: Reply(b"null"),
}


@python_ones
def test_nonsense_is_an_error_with_a_status(play: Play, daemon_of_clients: Mux) -> None:
    _try_nonsense(play, daemon_of_clients)


@streams
@pytest.mark.parametrize("driver", list(JAVASCRIPT), indirect=True)
def test_the_javascript_sdks_are_told_of_nonsense_too(play: Play, daemon_of_clients: Mux) -> None:
    _try_nonsense(play, daemon_of_clients)


def _try_nonsense(play: Play, daemon_of_clients: Mux) -> None:
    for name, reply in NONSENSE.items():
        daemon_of_clients.forget_failures()
        play.played.answers(reply(play.model))
        got = heard(play)
        assert isinstance(got, Exception), (name, got)
        status = play.driver.status_of(got)
        assert status is not None and status >= 500, (name, status, got)
        assert "<h1>" not in str(got), name
        if name == "an error in a 200":
            assert "scripted trouble" in str(got), name


GARBAGE = {
    "openai-chat": b"data: {not json\n\n",
    "openai-responses": b"data: {not json\n\n",
    "anthropic": b"event: content_block_delta\ndata: {not json\n\n",
    "gemini": b"data: {not json\n\n",
    "ollama": b"{not json\n",
    "bedrock": b"\x00\x00\x00\x20garbage that is no frame at all",
}


@streams
@python_ones
def test_garbage_in_a_stream_is_an_error(play: Play, daemon_of_clients: Mux) -> None:
    told = records(play.model.format, SCENE)
    daemon_of_clients.forget_failures()
    play.played.answers(streamed(play.model.format, [*told[:-3], GARBAGE[play.model.format]]))
    assert isinstance(heard(play), Exception)


FINISHES = {"openai-chat": (-3, -2), "anthropic": (-2, None), "bedrock": (-2, None)}
"""Which records say that the answer ended."""


@streams
@python_ones
def test_two_finishes_are_one(play: Play, daemon_of_clients: Mux) -> None:
    if play.is_splice:
        return  # The client gets its own vendor's records as they are.
    told = records(play.model.format, SCENE)
    again = told[slice(*FINISHES.get(play.model.format, (-1, None)))]
    daemon_of_clients.forget_failures()
    play.played.answers(
        streamed(play.model.format, [*told[: len(told)], *again]),
    )
    got = heard(play)
    assert isinstance(got, Answer), got
    assert is_whole(got, play), got


@streams
@python_ones
def test_a_whole_answer_to_a_wish_for_a_stream_is_streamed(play: Play) -> None:
    play.played.answers(whole(play.model.format, SCENE))
    assert is_whole(play.ask(ASK), play)


@pytest.mark.parametrize("mode", ["whole"], indirect=True)
@python_ones
def test_a_stream_as_the_answer_to_a_wish_for_all_at_once_is_gathered(play: Play) -> None:
    play.played.answers(streamed(play.model.format, records(play.model.format, SCENE)))
    assert is_whole(play.ask(ASK), play)


@streams
@python_ones
@pytest.mark.covers("PF-12")
@pytest.mark.parametrize("model", [m for m in MODELS if m.format == "gemini"], indirect=True, ids=["to-gemini"])
def test_an_array_as_gemini_sends_it_is_streamed(play: Play) -> None:
    chunks = [record.removeprefix(b"data: ").strip() for record in records("gemini", SCENE)]
    play.played.answers(Reply(b"[" + b",\n".join(chunks) + b"]"))
    assert is_whole(play.ask(ASK), play)


MISLABELS = (
    "text/plain",
    "text/html; charset=utf-8",
    "application/json",
    "text/event-stream",
    "application/octet-stream",
)


@python_ones
def test_a_wrong_label_is_seen_through_or_an_error(play: Play, daemon_of_clients: Mux) -> None:
    """An answer of which only the type is wrong: all of it or an error with a status, nothing in between."""
    for label in MISLABELS:
        daemon_of_clients.forget_failures()
        play.played.answers(replace(said(play.model.format, SCENE, play.mode), content_type=label))
        got = heard(play)
        if isinstance(got, Exception):
            status = play.driver.status_of(got)
            assert status is not None and status >= 500, (label, got)
        else:
            assert is_whole(got, play), (label, got)
