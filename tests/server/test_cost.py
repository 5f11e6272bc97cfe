"""A request's cost in calls, so that speed is not lost unseen. Who makes it dearer on purpose raises the limit here."""

import json
import pathlib
from typing import NamedTuple

import pytest

from llm_mux import paths
from llm_mux.auth.store import open_store
from llm_mux.config import parse
from llm_mux.server.app import make_app
from tests.daemon import clean_environment, config_text
from tests.server import costing

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "same",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 50}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17},
}
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "other",
    "content": [{"type": "text", "text": "word " * 50}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 8},
}


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"id": "c", "created": 1, "model": "same", "choices": [choice]}).encode()


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


CHAT_STREAM = [
    chunk({"role": "assistant", "content": ""}),
    *[chunk({"content": "some words "})] * 100,
    chunk({}, "stop") + b"data: [DONE]\n\n",
]
MESSAGE_STREAM = [
    event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    *[event("content_block_delta", index=0, delta={"type": "text_delta", "text": "some words "})] * 100,
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 100}),
    event("message_stop"),
]
ANSWERS = {"/chat/": json.dumps(CHAT).encode(), "/messages": json.dumps(MESSAGE).encode()}
STREAMS = {"/chat/": CHAT_STREAM, "/messages": MESSAGE_STREAM}


class Case(NamedTuple):
    """`calls` and `json`: the most that a request may take; `at_once`: how many events one read of a stream brings."""

    body: bytes
    calls: int
    json: int
    at_once: int = 1


CASES = {
    "splice": Case(costing.small("same", stream=False), 195, 3),
    "translate": Case(costing.small("other", stream=False), 585, 6),
    "spliced stream of 100 events": Case(costing.small("same", stream=True), 3400, 111),
    "translated stream of 100 events": Case(costing.small("other", stream=True), 6300, 117),
    "spliced stream, ten events a read": Case(costing.small("same", stream=True), 1100, 20, 10),
    "translated stream, ten events a read": Case(costing.small("other", stream=True), 1800, 32, 10),
    "spliced stream that comes at once": Case(costing.small("same", stream=True), 570, 8, 200),
    "translated stream that comes at once": Case(costing.small("other", stream=True), 1030, 16, 200),
    "splice of 40 turns": Case(costing.agents("same", 40), 750, 3),
    "translate 40 turns": Case(costing.agents("other", 40), 4450, 6),
}


def reads(at_once: int) -> dict[str, list[bytes]]:
    return {
        word: [b"".join(events[at : at + at_once]) for at in range(0, len(events), at_once)]
        for word, events in STREAMS.items()
    }


@pytest.mark.parametrize("name", CASES)
async def test_a_request_costs_no_more_calls_than_it_did(tmp_path: pathlib.Path, name: str) -> None:
    case = CASES[name]
    providers = [
        {"id": "a", "type": "openai-compatible", "base-url": "http://127.0.0.1:9/v1", "models": ["same"]},
        {"id": "b", "type": "anthropic-compatible", "base-url": "http://127.0.0.1:9", "models": ["other"]},
    ]
    env = clean_environment(tmp_path)
    loaded = parse(config_text({"providers": providers}), None, env)
    app = make_app(loaded, env, open_store(env=env, data_dir=paths.data_dir(env)))
    found = await costing.calls(app, costing.ReadyUpstream(ANSWERS, reads(case.at_once)), case.body)
    assert (found["all"] <= case.calls, found["json"] <= case.json) == (True, True), found
