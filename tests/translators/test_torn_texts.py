"""Bytes that are no UTF-8, in any text of any request or answer: mended or refused, and never an error of ours.

A look at a body skips its texts, so the decoders are the first to meet such bytes, some of them in values they read late.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator

import msgspec
import pytest

from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Ask, Caller
from llm_mux.gateway.fold import unfold
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Target
from llm_mux.wire import jsonx
from tests.translators.sdk_answers import ANSWERS, Answers
from tests.translators.sdk_bodies import FORMATS, Format
from tests.translators.test_sdk_answers import CLIENTS, read, request_of
from tests.translators.test_sdk_fields import TARGETS

REQUESTS = {client: request_of(client) for client in CLIENTS}
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')


def torn(data: bytes, tried: set[bytes]) -> Iterator[bytes]:
    """`data` with half a character in one of its texts, for each of them that was not tried where it stands."""
    for found in TEXT.finditer(data):
        end = found.end() - 1
        if (place := data[max(0, end - 60) : end + 8]) not in tried:
            tried.add(place)
            yield data[:end] + b"\xff" + data[end:]


def outcome(act: Callable[[], object]) -> str | None:
    """What went wrong that nobody was meant to see."""
    try:
        act()
    except MuxError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def translated(format_: Format, body: bytes) -> None:
    protocol = registry.get(format_.name)
    try:
        _, sound = jsonx.sound(body, protocol.outline)
    except jsonx.Malformed:
        return
    ask = Ask(protocol, sound, format_.hints, "m", False, "req_1", {}, Caller("key"), 0.0, 0.0)
    for name, target in TARGETS.items():
        if name != format_.name:
            with contextlib.suppress(MuxError):
                encoded(ask, name, target)


def encoded(ask: Ask, name: str, target: Target) -> Encoded:
    try:
        return registry.get(name).encode_request(ask.decoded(), target)
    except (msgspec.MsgspecError, UnicodeError):
        assert ask.mend()
        return registry.get(name).encode_request(ask.decoded(), target)


@pytest.mark.parametrize("name", FORMATS)
def test_a_request_is_mended_or_refused_wherever_it_is_torn(name: str) -> None:
    wrong, tried = dict[str, str](), set[bytes]()
    for pair in FORMATS[name].pairs():
        for body in torn(json.dumps(pair.body).encode(), tried):
            if said := outcome(lambda body=body: translated(FORMATS[name], body)):
                wrong[pair.path] = said
    assert wrong == {}
    assert len(tried) > 50


def answered(answers: Answers, data: bytes) -> None:
    """Reads an answer and tells it to every client, whole and as a stream."""
    data = data if answers.streams else jsonx.readable(data)
    response = read(Answers(answers.name, answers.pairs, lambda value: data, answers.streams), None)
    for client, request in REQUESTS.items():
        with contextlib.suppress(MuxError):
            registry.get(client).encode_response(response, request)
        with contextlib.suppress(MuxError):
            registry.get(client).stream_encoder(request).encode(unfold(response))


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_mended_or_an_upstreams_error_wherever_it_is_torn(name: str) -> None:
    wrong, tried = dict[str, str](), set[bytes]()
    for pair in ANSWERS[name].pairs():
        for data in torn(ANSWERS[name].written(pair.body), tried):
            if said := outcome(lambda data=data: answered(ANSWERS[name], data)):
                wrong[pair.path] = said
    assert wrong == {}
    assert len(tried) > 50
