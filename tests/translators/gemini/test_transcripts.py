"""The golden transcripts: decoded as expected, streamed as whole, and back to the same meaning."""

import json
from typing import Any

import pytest

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway import fold
from llm_mux.translators.base import Hints
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import CASES, NEW, TRANSCRIPTS, encoded, plain, records_of, target

ANSWERS = [case for case in CASES if case != "error"]


def read(case: str, name: str) -> bytes:
    return (TRANSCRIPTS / case / name).read_bytes()


def request_of(case: str) -> ir.Request:
    return TRANSLATOR.decode_request(read(case, "request.json"), Hints(model=NEW, stream=True))


def events_of(case: str) -> list[ir.Event]:
    decoder = TRANSLATOR.stream_decoder(target())
    return decoder.feed(read(case, "stream.sse")) + decoder.finish()


def folded(events: list[ir.Event]) -> ir.Response:
    collected = fold.Fold()
    collected.feed(events)
    return collected.response()


def meaning(response: ir.Response) -> object:
    """The answer without what a stream may cut differently: texts of a kind are joined, signed ones stand alone."""
    choice = response.choices[0]
    said: list[Any] = []
    for part in choice.parts:
        data = plain(part)
        if isinstance(part, ir.Text) and not part.text:
            continue
        if said and part.native is None and said[-1][""] == data[""] and data[""] in ("Text", "Reasoning"):  # type: ignore[union-attr]
            said[-1]["text"] += data["text"]
        else:
            data.pop("native")
            said.append(data)
    return said, plain(choice.finish), plain(response.usage)


@pytest.mark.parametrize("case", CASES)
def test_a_request_comes_back_with_the_same_meaning(case: str) -> None:
    original = json.loads(read(case, "request.json"))
    for content in original["contents"]:
        content["parts"] = [
            part for part in content["parts"] if not (part.get("thought") and "thoughtSignature" not in part)
        ]
    assert json.loads(encoded(request_of(case)).body) == original


@pytest.mark.parametrize("case", ANSWERS)
def test_streamed_and_whole_mean_the_same(case: str) -> None:
    events = events_of(case)
    assert ir.violations(events) == []
    assert meaning(folded(events)) == meaning(TRANSLATOR.decode_response(read(case, "response.json"), target()))


@pytest.mark.parametrize("case", ANSWERS)
def test_a_whole_answer_comes_back(case: str) -> None:
    original = json.loads(read(case, "response.json"))
    response = TRANSLATOR.decode_response(read(case, "response.json"), target())
    given = json.loads(TRANSLATOR.encode_response(response, request_of(case)))
    original["usageMetadata"].pop("promptTokensDetails", None)
    if "candidatesTokenCount" not in original["usageMetadata"]:
        given["usageMetadata"].pop("candidatesTokenCount")
    assert given == original


@pytest.mark.parametrize("case", ANSWERS)
def test_a_stream_comes_back_with_the_same_meaning(case: str) -> None:
    data = TRANSLATOR.stream_encoder(request_of(case)).encode(events_of(case))
    decoder = TRANSLATOR.stream_decoder(target())
    assert meaning(folded(decoder.feed(data) + decoder.finish())) == meaning(folded(events_of(case)))


@pytest.mark.parametrize("case", ANSWERS)
def test_a_whole_answer_can_be_streamed(case: str) -> None:
    response = TRANSLATOR.decode_response(read(case, "response.json"), target())
    records = records_of(TRANSLATOR.stream_encoder(request_of(case)).encode(fold.unfold(response)))
    parts = [p for r in records for p in r["candidates"][0].get("content", {}).get("parts", []) if p != {"text": ""}]
    original = json.loads(read(case, "response.json"))["candidates"][0].get("content", {}).get("parts", [])
    assert parts == original


def test_the_error_is_read_whole_and_in_mid_stream() -> None:
    error = TRANSLATOR.decode_error(429, {}, read("error", "response.json"))
    assert (error.kind, error.retry_after) == (Kind.RATE_LIMIT, 12.5)
    failed = events_of("error")[-1]
    assert isinstance(failed, ir.Failed) and failed.error.kind is Kind.OVERLOADED
    with pytest.raises(MuxError):
        TRANSLATOR.decode_response(read("error", "response.json"), target())
