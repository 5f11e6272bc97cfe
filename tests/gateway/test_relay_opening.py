"""The first words of a stream that goes through leave before they are read, and nobody learns anything else of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway.relay import Edit, Record, Splice
from llm_mux.translators import registry
from llm_mux.translators.openai_chat.dull import opens
from tests.translators.transcripts import Transcript, target, transcripts

CHAT = registry.get("openai_chat")
STREAMS = transcripts("stream", lambda t: t.format == "openai_chat")


def chunk(delta: object, finish: str | None = None, **more: object) -> bytes:
    said = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    return b"data: %b\n\n" % json.dumps(said, separators=(",", ":")).encode()


ROLE, WORD, END = chunk({"role": "assistant", "content": ""}), chunk({"content": "word"}), chunk({}, "stop")
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"busy","type":"server_error"}}\n\n'


def splice(*, unread: bool, renames: bool = False) -> Splice:
    protocol = CHAT if unread else replace(CHAT, opens=None)
    edit = Edit(protocol, hide_usage=False, names=(b'"m"', b'"up://m"')) if renames else None
    request = ir.Request("m", (), protocol=protocol.name, stream=True)
    decoder = protocol.stream_decoder(target(protocol.name))
    return Splice(protocol, decoder, lambda: protocol.stream_encoder(request), Record(None), edit)


def heard(way: Splice, reads: Sequence[bytes]) -> tuple[object, ...]:
    """What goes out after each read and whether the client may see it, and what is known in the end."""
    out: list[object] = []
    for read in reads:
        out.append((way.feed(read), way.record.content, way.over))
        way.settle()
        out.append(way.keepalive())
    out.append(way.feed(b""))
    record = way.record
    error = None if record.error is None else (record.error.kind, record.error.message)
    return out, record.usage, record.finish, record.model, error, record.done, record.content


@pytest.mark.parametrize("transcript", STREAMS, ids=str)
@settings(max_examples=40)
@given(data=st.data())
def test_a_stream_is_the_same_however_its_first_words_come(transcript: Transcript, data: st.DataObject) -> None:
    body = transcript.body("stream")
    cuts = sorted(data.draw(st.sets(st.integers(1, min(len(body), 1500)), max_size=8)))
    if data.draw(st.booleans()):
        cuts = sorted({body.find(b"\n\n", cut) + 2 for cut in cuts} - {1})
    reads = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    renames = data.draw(st.booleans())
    found = [heard(splice(unread=unread, renames=renames), reads) for unread in (True, False)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "reads",
    [
        [ROLE, WORD, WORD, END, DONE],
        [ROLE + WORD, WORD + END + DONE],
        [WORD + END + DONE],
        [WORD],
        [WORD, ERROR],
        [WORD + ERROR],
        [ERROR],
        [WORD[:-3] + b"\n\n", END],
        [WORD.replace(b"word", b"w\xffrd"), END, DONE],
        [WORD[:40], WORD[40:], END, DONE],
        [b": hello\n\n", WORD, END, DONE],
        [chunk({"role": "assistant", "content": "word"}), END, DONE],
    ],
    ids=str,
)
def test_a_whole_or_broken_stream_tells_the_books_the_same(reads: list[bytes]) -> None:
    assert heard(splice(unread=True), reads) == heard(splice(unread=False), reads)


def test_first_words_are_read_when_they_are_out() -> None:
    way = splice(unread=True)
    assert way.feed(ROLE) == ROLE
    assert not way.record.content
    assert (way.feed(WORD), way.record.content, way.record.model) == (WORD, True, "m")
    late = splice(unread=True)
    assert late.feed(ROLE + WORD) == ROLE + WORD
    assert late.record.model is None
    late.settle()
    assert late.record.model == "m"
    assert b"busy" in late.fail(MuxError(Kind.UPSTREAM_CUT, "busy"))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (WORD, True),
        (ROLE + WORD, True),
        (chunk({"role": "assistant", "content": "word"}), True),
        (WORD.replace(b'"index":0,', b""), True),
        (ROLE, False),
        (chunk({"content": None}), False),
        (chunk({"content": "\n"}), False),
        (chunk({"role": "assistant", "tool_calls": [{"index": 0}]}), False),
        (WORD + ERROR, False),
        (chunk({"content": "word"}, error={"message": "x"}), False),
        (b": hello\n\n" + WORD, False),
        (WORD[:-1], False),
        (WORD + DONE, False),
        (chunk({"content": '"choices":[{"delta":{"content":"word'}, x=1)[:20] + b"}\n\n", False),
        (b'data: {"text":"\\"choices\\":[{\\"delta\\":{\\"content\\":\\"word"}\n\n', False),
    ],
    ids=str,
)
def test_what_begins_a_text_shows_without_reading_it(records: bytes, expected: bool) -> None:
    assert opens(records) is expected
