"""What the clients of a background response are told, whatever the stream that answers it says."""

import json
from typing import Any

import pytest

from llm_mux.errors import Kind, MuxError
from llm_mux.translators.openai_responses.background import Retelling, in_background, interrupted, meant, running
from llm_mux.wire import sse
from tests.translators.openai_responses.kit import decode

CREATED = {"type": "response.created", "response": {"id": "x", "status": "in_progress", "output": []}}
GOING = {**CREATED, "type": "response.in_progress"}
ITEM = {"type": "message", "id": "msg_1", "content": []}
ADDED = {"type": "response.output_item.added", "output_index": 0, "item": ITEM}
DONE = {"type": "response.output_item.done", "output_index": 0, "item": ITEM}


def told() -> Retelling:
    return Retelling(decode(input="hi", metadata={"a": "b"}), "resp_ours", "m", 7)


def take(one: Retelling, *records: object) -> list[dict[str, Any]]:
    made = [one.take(sse.Frame(None, json.dumps(record).encode(), b"")) for record in records]
    return [json.loads(record.partition(b"data: ")[2]) for record in made if record is not None]


def ends(status: str, **fields: object) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"id": "x", "status": status, "output": [ITEM], **fields}}


def test_its_object_echoes_the_request_and_grows_with_the_items() -> None:
    one = told()
    first, second = (json.loads(record.partition(b"data: ")[2]) for record in one.begin())
    assert (first["type"], second["type"]) == ("response.created", "response.queued")
    assert (first["sequence_number"], second["sequence_number"]) == (0, 1)
    assert json.loads(one.body)["metadata"] == {"a": "b"}
    assert (one.status, running(one.body), in_background(one.body)) == ("queued", True, True)
    take(one, CREATED, GOING, ADDED, DONE)
    assert json.loads(one.body) == {
        "id": "resp_ours",
        "created_at": 7,
        "background": True,
        "status": "in_progress",
        "output": [ITEM],
    }
    take(one, ends("completed", usage={"total_tokens": 3}))
    assert (one.status, one.over, running(one.body), in_background(one.body)) == ("completed", True, False, True)
    assert json.loads(one.body)["usage"] == {"total_tokens": 3}


def test_numbers_count_on_and_what_was_told_is_not_told_again() -> None:
    one = told()
    one.begin()
    records = take(one, {**CREATED, "sequence_number": 0}, GOING, GOING, ADDED, GOING, DONE, ends("completed"))
    assert [record["type"] for record in records] == [
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
    ]
    assert [record["sequence_number"] for record in records] == [2, 3, 4, 5]
    assert {record["response"]["id"] for record in records if "response" in record} == {"resp_ours"}
    assert take(one, ADDED, ends("failed")) == [], "nothing after the end"


@pytest.mark.parametrize("data", [b"[DONE]", b"nonsense", b"[]", b"{}", b'{"type":7}', b'"x"'])
def test_records_that_are_no_events_are_left_out(data: bytes) -> None:
    assert told().take(sse.Frame(None, data, data)) is None


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_every_end_is_the_end(status: str) -> None:
    one = told()
    (last,) = take(one, ends(status))
    assert (last["response"]["status"], one.status, one.over) == (status, status, True)


def test_an_error_record_is_a_failed_response() -> None:
    one = told()
    take(one, GOING, DONE)
    (last,) = take(one, {"type": "error", "code": "rate_limit_exceeded", "message": "slow down"})
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == "rate_limit_exceeded"
    assert "slow down" in last["response"]["error"]["message"]
    assert last["response"]["output"] == [ITEM]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'{"error":{"message":"m","code":"server_error"}}', Kind.UPSTREAM_ERROR),
        (429, b'{"error":{"message":"m","code":"rate_limit_exceeded"}}', Kind.RATE_LIMIT),
        (400, b'{"error":{"message":"m","code":null}}', Kind.BAD_REQUEST),
        (400, b'{"error":{"message":"m","code":"context_length_exceeded"}}', Kind.CONTEXT_LENGTH),
        (502, b"<html>", Kind.UPSTREAM_ERROR),
    ],
)
def test_an_errors_answer_is_read(status: int, body: bytes, kind: Kind) -> None:
    assert meant(status, body).kind is kind


def test_a_cancelled_one_says_so_and_ends() -> None:
    one = told()
    take(one, GOING, DONE)
    record = json.loads(one.cancel().partition(b"data: ")[2])
    assert (record["type"], record["response"]["status"]) == ("response.incomplete", "cancelled")
    assert one.over


def test_one_that_nobody_runs_any_more_has_failed() -> None:
    one = told()
    left = json.loads(interrupted(one.body))
    assert (left["status"], left["error"]["code"]) == ("failed", "server_error")
    assert not running(json.dumps(left).encode())


@pytest.mark.parametrize("body", [b"{}", b'{"background":false,"status":"in_progress"}', b'{"background"', b"[]"])
def test_other_responses_do_not_run(body: bytes) -> None:
    assert not running(body)
    assert not in_background(body)


def test_a_failure_keeps_what_the_response_had() -> None:
    one = told()
    take(one, GOING, DONE)
    record = json.loads(one.fail(MuxError(Kind.UPSTREAM_CUT, "It broke off.")).partition(b"data: ")[2])
    assert record["response"]["output"] == [ITEM]
    assert record["response"]["error"] == {"code": "server_error", "message": "It broke off."}
