"""A translated stream reads the same however much of it one read brings."""

import json
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from llm_mux import ir
from llm_mux.errors import Kind
from llm_mux.gateway.relay import Record, Translate
from llm_mux.translators import registry
from llm_mux.translators.base import Target
from llm_mux.translators.tools import Names

CLIENTS = ["openai_chat", "openai_responses", "anthropic", "gemini", "ollama"]


def said(event: dict[str, object]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def piece(text: str) -> bytes:
    return said({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
START = said({"type": "message_start", "message": MESSAGE})
OPEN = said({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
PING = said({"type": "ping"})
CLOSE = said({"type": "content_block_stop", "index": 0})
STOP = said({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}})
END = said({"type": "message_stop"})
BUSY = said({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
PIECES = [piece(f'word {n} "quoted" \\ é') for n in range(80)]

STREAMS = {
    "whole": [START, OPEN, PING, *PIECES, CLOSE, STOP, END],
    "cut": [START, OPEN, *PIECES],
    "cut within a record": [START, OPEN, *PIECES, CLOSE[:20]],
    "an error among the pieces": [START, OPEN, *PIECES[:40], BUSY, *PIECES[40:]],
    "an error before any": [START, BUSY, *[PING] * 200],
    "another kind of record among the pieces": [START, OPEN, *PIECES[:40], PING, *PIECES[40:], CLOSE, STOP, END],
    "nothing but pings": [START, *[PING] * 200, OPEN, CLOSE, STOP, END],
}


class Heard(NamedTuple):
    """What a client and the books make of a stream."""

    text: str
    finish: ir.Finish | None
    usage: ir.Usage | None
    failure: Kind | None
    done: bool
    content: bool


def through(client: str, reads: Iterable[bytes], stops: tuple[str, ...]) -> Heard:
    request = ir.Request("m", (), protocol=client, stream=True)
    record = Record(None)
    way = Translate(
        registry.get("anthropic").stream_decoder(Target("m", "p")),
        registry.get(client).stream_encoder(request),
        names=Names(),
        stops=stops,
        record=record,
        stamp=lambda start: ir.Start(id="x", model="m", created=1, usage=start.usage),
    )
    out = b"".join([way.feed(read) for read in reads if not way.over])
    if not way.over:
        out += way.feed(b"")
    failed = record.error.kind if record.error is not None else None
    decoder = registry.get(client).stream_decoder(Target("m", "p"))
    heard = [] if failed and not record.content else decoder.feed(out)
    text = "".join(event.text for event in heard if isinstance(event, ir.TextDelta))
    return Heard(text, record.finish, record.usage, failed, record.done, record.content)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stops", [(), ("word 50",), ("never said",)], ids=["no stops", "a stop", "another stop"])
@pytest.mark.parametrize("name", STREAMS)
def test_all_of_a_stream_at_once_reads_as_a_record_at_a_time(client: str, name: str, stops: tuple[str, ...]) -> None:
    records = STREAMS[name]
    whole, one = b"".join(records), through(client, records, stops)
    assert len(whole) > 4096
    for size in (len(whole), 5000, 9000):
        assert through(client, [whole[at : at + size] for at in range(0, len(whole), size)], stops) == one
    if name == "whole" and not stops:
        assert one.text == "".join(f'word {n} "quoted" \\ é' for n in range(80))
