"""Skipping records that a translator calls dull changes nothing of what the books learn of a stream."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_mux import ir
from llm_mux.gateway.relay import Record, Splice
from llm_mux.translators import registry
from llm_mux.translators.base import Translator
from tests.translators.transcripts import TEXTUAL, Transcript, target, transcripts

STREAMS = transcripts("stream", lambda t: t.format in TEXTUAL)


def records(format_: str, stream: bytes) -> list[bytes]:
    """A stream cut at the borders of its records."""
    end = b"\n" if registry.get(format_).stream_type == "application/x-ndjson" else b"\n\n"
    return [piece + end for piece in stream.removesuffix(end).split(end)]


def judge(format_: str) -> Callable[[bytes], bool]:
    make = registry.get(format_).dull
    assert make is not None
    return make()


def learnt(translator: Translator, groups: list[bytes], *, skips: bool) -> tuple[object, ...]:
    """What a splice notes of a stream that comes in `groups`, and what it gives."""
    seen: list[bytes] = []
    decoder = translator.stream_decoder(target(translator.name))

    class Listening:
        def feed(self, data: bytes) -> list[ir.Event]:
            seen.append(data)
            return decoder.feed(data)

        def finish(self) -> list[ir.Event]:
            return decoder.finish()

    encoder = translator.stream_encoder(ir.Request(model="m", messages=(), protocol=translator.name))
    watched = translator if skips else replace(translator, dull=None)
    splice = Splice(watched, Listening(), lambda: encoder, Record(None), None)
    out = b"".join([splice.feed(group) for group in groups] + [splice.feed(b"")])
    record = splice.record
    error = None if record.error is None else (record.error.kind, record.error.message)
    assert skips or len(seen) == len(groups)
    return out, record.usage, record.finish, record.model, error, record.done, record.content


@pytest.mark.parametrize("transcript", STREAMS, ids=str)
@settings(max_examples=40)
@given(data=st.data())
def test_skipping_dull_records_loses_nothing(transcript: Transcript, data: st.DataObject) -> None:
    pieces = records(transcript.format, transcript.body("stream"))
    length = data.draw(st.integers(1, len(pieces)), label="cut off after")
    groups: list[bytes] = []
    for piece in pieces[:length]:
        if groups and data.draw(st.booleans()):
            groups[-1] += piece
        else:
            groups.append(piece)
    translator = transcript.translator
    assert learnt(translator, groups, skips=True) == learnt(translator, groups, skips=False)


TEXT = {
    "openai_chat": [
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
        b'{"content":"%b"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x%b"}\n\n' % (text, text)
        for text in (b"a", b"", b'\\"finish_reason\\":\\"stop\\" \\\\', "ü \\u00e9".encode(), b"data: {")
    ],
    "anthropic": [
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"%b"}}\n\n' % text
        for text in (b"a", b"", b'\\"}}\\n\\nevent: error', b"b")
    ],
    "openai_responses": [
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,"item_id":'
        b'"i","output_index":0,"content_index":0,"delta":"a%d","logprobs":[],"obfuscation":"x"}\n\n' % (n, n)
        for n in range(8, 12)
    ],
    "gemini": [
        b'data: {"candidates": [{"content": {"parts": [{"text": "%b"}],"role": "model"}}],"modelVersion": "m"}\n\n'
        % text
        for text in (b"a", b"b")
    ],
    "ollama": [
        b'{"model":"m","created_at":"2026-03-01T09:30:0%dZ","message":{"role":"assistant","content":"%d"},"done":false}\n'
        % (n, n)
        for n in range(4)
    ],
}


@pytest.mark.parametrize("format_", TEXTUAL)
def test_more_of_a_text_is_dull_alone_and_together(format_: str) -> None:
    dull = judge(format_)
    assert all(dull(record) for record in TEXT[format_])
    assert dull(b"".join(TEXT[format_]))


ENDS = {
    "openai_chat": (b'"finish_reason":null', b'"finish_reason":"stop"'),
    "anthropic": (b'"text_delta","text"', b'"input_json_delta","partial_json"'),
    "openai_responses": (b"response.output_text.delta", b"response.refusal.delta"),
    "gemini": (b'"role": "model"}', b'"role": "model"},"finishReason":"STOP"'),
    "ollama": (b'"done":false', b'"done":true'),
}


@pytest.mark.parametrize("format_", TEXTUAL)
@pytest.mark.parametrize("place", [0, 1, -1])
def test_one_record_that_says_more_is_enough_to_look_at_all(format_: str, place: int) -> None:
    dull = judge(format_)
    pieces = list(TEXT[format_])
    pieces[place] = pieces[place].replace(*ENDS[format_])
    assert not dull(pieces[place])
    assert not dull(b"".join(pieces))


@pytest.mark.parametrize(
    "extra",
    [
        b'"usage":{"prompt_tokens":1},',
        b'"x_groq":{"usage":{}},',
        b'"error":{"message":"no"},',
        b'"citations":["https://example.com"],',
        b'"us\\u0061ge":{"prompt_tokens":1},',
    ],
)
def test_a_chunk_that_counts_or_fails_is_not_dull(extra: bytes) -> None:
    dull = judge("openai_chat")
    pieces = [re.sub(rb'"usage":null,', b"", piece) for piece in TEXT["openai_chat"]]
    said = pieces[1].replace(b'"id":"c",', b'"id":"c",' + extra)
    assert not dull(said)
    assert not dull(b"".join([*pieces, said]))
    assert not dull(b"".join([said, said]))


@pytest.mark.parametrize("format_", TEXTUAL)
def test_what_is_no_record_is_not_dull(format_: str) -> None:
    dull = judge(format_)
    for odd in (
        b"",
        b"\n\n",
        b"data: [DONE]\n\n",
        b": ping\n\n",
        TEXT[format_][0] + b": ping\n\n",
        b'data: {"a":1}\n\n',
    ):
        assert not dull(odd)


def test_the_text_of_a_second_choice_is_looked_at() -> None:
    dull = judge("openai_chat")
    second = TEXT["openai_chat"][0].replace(b'"index":0', b'"index":1')
    assert not dull(second)
    assert not dull(TEXT["openai_chat"][0] + second)
