"""Each client protocol through each upstream format, whole and streamed, seen through the official Python SDKs."""

import base64
import json
import struct
import zlib

import pytest

from tests.clients.conversation import PERSON, WEATHER, Ask, Result, Results, Said, User
from tests.clients.crossing import DIRECT, DRIVERS, FAILURES, Crossing
from tests.upstreams.aimock import UPSTREAMS

pytestmark = pytest.mark.node

whole_only = pytest.mark.parametrize("mode", ["whole"], indirect=True)
streams_only = pytest.mark.parametrize("mode", ["stream"], indirect=True)


def drivers_with(ability: str) -> pytest.MarkDecorator:
    """Only the clients whose protocol can say it."""
    able = [name for name, driver in DRIVERS.items() if getattr(driver.abilities, ability)]
    return pytest.mark.parametrize("driver", able, indirect=True)


def upstreams_with(fact: str) -> pytest.MarkDecorator:
    """Only the upstreams of which the mock's `fact` holds."""
    able = [upstream for upstream in UPSTREAMS if getattr(upstream, fact)]
    return pytest.mark.parametrize("upstream", able, indirect=True, ids=lambda upstream: f"to-{upstream.format}")


def _png() -> bytes:
    """One pixel whose base64 reads the same in both alphabets: google-genai sends the one for URLs."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    for shade in range(256):
        png = head + chunk(b"IDAT", zlib.compress(bytes([0, 255, shade, 0]))) + chunk(b"IEND", b"")
        if not set(base64.b64encode(png)) & set(b"+/"):
            return png
    raise AssertionError("no shade will do")


PNG = _png()
PDF = b"%PDF-1.4\n%%EOF\n"


def _inline(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


@pytest.mark.covers("RC-3", "RC-5", "RC-10")
def test_plain_text_arrives_with_its_stop_reason_and_usage(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("Please say hello"),)))
    assert answer.text == "Hello from the other side."
    assert answer.calls == ()
    assert answer.stop == crossing.driver.words.done
    if crossing.upstream.counts_tokens:
        assert (answer.input_tokens, answer.output_tokens) == (11, 7)


def test_the_system_text_arrives_as_it_was_written(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("repeat your instructions"),), system="Be a pirate.\nSay “ahoy” ☠."))
    assert answer.text == "Be a pirate.\nSay “ahoy” ☠."


def test_earlier_turns_arrive_in_order(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("one"), Said("two"), User("list the turns"))))
    assert answer.text == "user: one | assistant: two | user: list the turns"


def test_long_text_with_characters_of_several_bytes_is_complete(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("write at length"),)))
    lines = answer.text.split("\n")
    assert len(lines) == 200
    assert lines[199] == "Line 199: the quick brown fox, naïve café, 東京."


def test_a_tool_is_called_and_its_result_is_used(crossing: Crossing) -> None:
    question = User("What is the weather in Paris?")
    first = crossing.ask(Ask((question,), tools=(WEATHER,)))
    assert [(call.name, call.arguments) for call in first.calls] == [
        ("weather", {"city": "Paris", "note": "naïve café"})
    ]
    assert first.stop == crossing.driver.words.tool
    results = Results((Result(first.calls[0], "sunny, 21 °C"),))
    second = crossing.ask(Ask((question, first, results), tools=(WEATHER,)))
    assert second.text.startswith("The tool said: ")
    assert "sunny, 21 °C" in second.text
    assert second.stop == crossing.driver.words.done


def test_parallel_calls_keep_their_order_and_their_results(crossing: Crossing) -> None:
    question = User("What is the weather in both Paris and Rome?")
    first = crossing.ask(Ask((question,), tools=(WEATHER,)))
    assert [call.arguments["city"] for call in first.calls] == ["Paris", "Rome"]
    ids = [call.id for call in first.calls if call.id]
    assert len(set(ids)) == len(ids)
    results = Results(tuple(Result(call, f"{call.arguments['city']} is fine") for call in first.calls))
    second = crossing.ask(Ask((question, first, results), tools=(WEATHER,)))
    assert second.text.index("Paris is fine") < second.text.index("Rome is fine")


@pytest.mark.covers("RC-6")
@drivers_with("call_ids")
def test_call_ids_are_unique_in_a_conversation(crossing: Crossing) -> None:
    """The same call in two turns: Claude Code loops for ever when both have one id."""
    question = User("What is the weather in Paris?")
    first = crossing.ask(Ask((question,), tools=(WEATHER,)))
    again = (question, first, Results((Result(first.calls[0], "sunny"),)), Said("It is sunny."), question)
    second = crossing.ask(Ask(again, tools=(WEATHER,)))
    assert second.calls[0].arguments == first.calls[0].arguments
    if crossing.driver.protocol == crossing.upstream.format == "gemini":
        return  # passed on as it came: Gemini's own answers need no ids
    assert first.calls[0].id
    assert second.calls[0].id
    assert second.calls[0].id != first.calls[0].id


@drivers_with("force")
@upstreams_with("forces_tools")
def test_a_forced_tool_is_forced_upstream(crossing: Crossing) -> None:
    crossing.ask(Ask((User("What is the weather in Paris?"),), tools=(WEATHER,), force="weather"))
    sent = crossing.sent()
    match crossing.upstream.format:
        case "openai-chat":
            assert sent["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
        case "openai-responses":
            assert sent["tool_choice"] == {"type": "function", "name": "weather"}
        case "anthropic":
            assert sent["tool_choice"]["type"] == "tool"
            assert sent["tool_choice"]["name"] == "weather"
        case "bedrock":
            assert sent["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}
        case "gemini":
            chosen = sent["toolConfig"]["functionCallingConfig"]
            assert (chosen["mode"], chosen["allowedFunctionNames"]) == ("ANY", ["weather"])


@drivers_with("result_errors")
def test_a_failed_result_is_told_as_one(crossing: Crossing) -> None:
    question = User("What is the weather in Paris?")
    first = crossing.ask(Ask((question,), tools=(WEATHER,)))
    failed = Results((Result(first.calls[0], "no such city", error=True),))
    second = crossing.ask(Ask((question, first, failed), tools=(WEATHER,)))
    assert "no such city" in second.text
    if crossing.upstream.format == "anthropic":
        assert '"is_error":true' in crossing.sent_text().replace(" ", "")
    elif crossing.upstream.format == "bedrock":
        assert '"status":"error"' in crossing.sent_text().replace(" ", "")
    else:
        assert "error" in second.text.lower()


@drivers_with("result_images")
def test_an_image_in_a_result_arrives(crossing: Crossing) -> None:
    question = User("What is the weather in Paris?")
    first = crossing.ask(Ask((question,), tools=(WEATHER,)))
    seen = Results((Result(first.calls[0], "see the picture", image=PNG),))
    second = crossing.ask(Ask((question, first, seen), tools=(WEATHER,)))
    assert "see the picture" in second.text
    assert _inline(PNG) in crossing.sent_text()


def test_an_image_arrives(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("describe the image", image=PNG),)))
    assert answer.text == "I have the image."
    assert _inline(PNG) in crossing.sent_text()


@drivers_with("pdf")
def test_a_pdf_arrives_or_is_refused(crossing: Crossing) -> None:
    ask = Ask((User("describe the document", pdf=PDF),))
    if crossing.upstream.format == "ollama" and not DIRECT:
        with pytest.raises(Exception) as failure:
            crossing.ask(ask)
        assert crossing.driver.status_of(failure.value) == 400
        return
    assert crossing.ask(ask).text == "I have the document."
    assert _inline(PDF) in crossing.sent_text()


def test_a_json_schema_arrives_and_its_answer_parses(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("answer as JSON"),), schema=PERSON))
    assert json.loads(answer.text) == {"name": "Ada", "age": 36}
    sent = crossing.sent()
    match crossing.upstream.format:
        case "openai-chat":
            held = sent["response_format"]["json_schema"]["schema"]
        case "openai-responses":
            held = sent["text"]["format"]["schema"]
        case "anthropic":
            held = sent["output_config"]["format"]["schema"]
        case "gemini":
            config = sent["generationConfig"]
            held = config.get("responseJsonSchema") or config["responseSchema"]
        case "bedrock":
            held = json.loads(sent["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
        case _:
            held = sent["format"]
    assert set(held["properties"]) == {"name", "age"}


@upstreams_with("tells_reasoning")
def test_reasoning_is_shown_apart_from_the_answer(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("think about it"),), think=True))
    assert answer.text == "It is 42."
    assert answer.reasoning == "First I consider the question."


def test_reasoning_before_a_tool_call_survives_the_next_turn(crossing: Crossing) -> None:
    question = User("think, then ask for the weather in Oslo")
    first = crossing.ask(Ask((question,), tools=(WEATHER,), think=True))
    assert [call.arguments for call in first.calls] == [{"city": "Oslo"}]
    results = Results((Result(first.calls[0], "snow"),))
    second = crossing.ask(Ask((question, first, results), tools=(WEATHER,), think=True))
    assert "snow" in second.text
    if crossing.upstream.format == "anthropic":
        assert "aimock-placeholder-signature" in crossing.sent_text()


@upstreams_with("tells_length")
def test_an_answer_that_was_cut_short_says_so(crossing: Crossing) -> None:
    answer = crossing.ask(Ask((User("stop early"),)))
    assert answer.text == "This is cut"
    spliced = crossing.driver.protocol == crossing.upstream.format == "openai-responses"
    if not spliced:  # there the client gets the mock's own words, and it leaves incomplete_details out
        assert answer.stop == crossing.driver.words.length


@pytest.mark.usefixtures("no_rests")
@pytest.mark.parametrize("status", FAILURES)
def test_a_failure_keeps_its_kind_and_its_words(crossing: Crossing, status: int) -> None:
    with pytest.raises(Exception, match=f"scripted failure {status}") as failure:
        crossing.ask(Ask((User(f"fail with {status}"),)), crossing.failing)
    found = crossing.driver.status_of(failure.value)
    assert found == status or (status == 500 and found in (500, 502, 503, 529)), failure.value


@pytest.mark.covers("RC-7", "FB-104")
@pytest.mark.usefixtures("no_rests")
@streams_only
@pytest.mark.skipif(DIRECT, reason="what the SDKs make of a bare cut is theirs")
def test_a_broken_stream_is_never_a_clean_end(crossing: Crossing) -> None:
    got: list[str] = []
    with (
        pytest.raises(Exception),  # noqa: B017 - each SDK has its own class; that it raises is the point
        crossing.driver.pieces(crossing.failing, Ask((User("break off"),))) as pieces,
    ):
        got.extend(pieces)
    assert not "".join(got).endswith("Line 199: the quick brown fox, naïve café, 東京.")


@pytest.mark.covers("FB-120", "PF-134")
@streams_only
def test_leaving_closes_the_upstream(crossing: Crossing) -> None:
    with crossing.driver.pieces(crossing.model, Ask((User("answer slowly"),))) as pieces:
        assert next(pieces)
    crossing.mock.wait_until_left()


@whole_only
@drivers_with("count")
@pytest.mark.skipif(DIRECT, reason="the mock does not count")
def test_tokens_are_counted_without_asking_the_model(crossing: Crossing) -> None:
    short = crossing.driver.count(crossing.model, Ask((User("hello"),)))
    long = crossing.driver.count(crossing.model, Ask((User("hello " * 500),)))
    assert 0 < short < long
