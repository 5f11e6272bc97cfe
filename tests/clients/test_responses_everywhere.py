"""What only the Responses API has, on every target, through OpenAI's own SDKs: kept responses that go on, a websocket,
compaction, counting, free-text tools and tools in namespaces."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.clients.crossing import DIRECT
from tests.clients.javascript import SdkError
from tests.clients.played import MODELS, Model, Played
from tests.clients.raw_sdks import Sdk
from tests.clients.scenes import Scene, records, streamed, whole
from tests.clients.test_signatures import no_envelope, sealed
from tests.fake_upstream import Reply

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="the played upstream is behind the daemon")]

SEAL = "c2VhbGVkIGZvciB0aGUgbmV4dCB0dXJu"
CALLING = Scene("I need Oslo.", SEAL, call="call_Oslo", arguments={"city": "Oslo"})
ANSWER = Scene(text="Snow.")
NATIVE = "openai-responses"
PLEASE = "my name is Ada; what is the weather in Oslo?"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


@pytest.fixture(scope="module", params=["python", "javascript"])
def client(request: pytest.FixtureRequest, mux: str) -> Iterator[Any]:
    if request.param == "javascript":
        yield Sdk(request.getfixturevalue("nodes"), "openai")
        return
    with openai.OpenAI(base_url=f"{mux}/v1", api_key="test", max_retries=0, timeout=30) as made:
        yield made


@contextlib.contextmanager
def refused(status: int, code: str = "", words: str = "") -> Iterator[None]:
    """The SDK raises this status."""
    with pytest.raises((openai.APIStatusError, SdkError), match=words or None) as raised:
        yield
    assert status in (getattr(raised.value, "status_code", None), getattr(raised.value, "status", None))
    assert not code or raised.value.code == code


@pytest.fixture
def says(model: Model, mode: str, played_upstream: Played) -> Any:
    return lambda *scenes: played_upstream.says(model, mode, *scenes)


def create(client: Any, mode: str, **asked: Any) -> Any:
    """The response, whole or as the last event of its stream."""
    if mode == "whole":
        return client.responses.create(**asked)
    with client.responses.create(**asked, stream=True) as events:
        last = list(events)[-1]
    assert last.type == "response.completed", last
    return last.response


def text_of(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)


def result(call_id: str, text: str) -> Any:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def test_a_kept_response_goes_on_with_its_calls_and_seals(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    says(CALLING, ANSWER)
    thinking: Any = {"model": model.alias, "tools": [WEATHER], "reasoning": {"effort": "medium", "summary": "auto"}}
    first = create(client, mode, input=PLEASE, instructions="Be brief.", **thinking)
    (call,) = [item for item in first.output if item.type == "function_call"]
    last = create(client, mode, input=[result(call.call_id, "-3 degrees")], previous_response_id=first.id, **thinking)
    assert last.output_text == "Snow."
    assert last.previous_response_id == first.id, "also where the provider was not told of it and says null"
    before, after = played_upstream.bodies()
    assert "Be brief." in text_of(before)
    assert "Be brief." not in text_of(after), "instructions are for one response"
    for words in (PLEASE, "Oslo", "-3 degrees"):
        assert words in text_of(after)
    if model.format != "ollama":
        assert sealed(model.format, after) == [(SEAL, "Oslo")]
    assert no_envelope(after)


@pytest.mark.parametrize("mode", ["stream"])
@pytest.mark.parametrize("model", [m for m in MODELS if m.format == NATIVE], indirect=True, ids=["to-openai-responses"])
def test_a_stream_whose_events_have_no_names_is_kept_too(
    client: Any, model: Model, mode: str, played_upstream: Played
) -> None:
    named = records(NATIVE, ANSWER)
    played_upstream.answers(streamed(NATIVE, [record.partition(b"\n")[2] for record in named]))
    made = create(client, mode, model=model.alias, input=PLEASE)
    assert client.responses.retrieve(made.id).output_text == "Snow."
    client.responses.delete(made.id)


def test_a_kept_response_is_shown_listed_and_deleted(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    says(ANSWER)
    made = create(client, mode, model=model.alias, input=PLEASE)
    shown = client.responses.retrieve(made.id)
    assert (shown.id, shown.output_text, shown.status) == (made.id, "Snow.", "completed")
    (item,) = client.responses.input_items.list(made.id)
    assert item.content[0].text == PLEASE
    with refused(400, words="background"):
        client.responses.cancel(made.id)
    client.responses.delete(made.id)
    with refused(404):
        client.responses.retrieve(made.id)
    gone = {"model": model.alias, "input": "go on", "previous_response_id": made.id}
    if model.format == NATIVE:
        create(client, mode, **gone)
        assert played_upstream.bodies()[-1]["previous_response_id"] == made.id, "the provider may know it"
        return
    with refused(400, "previous_response_not_found"):
        create(client, mode, **gone)


def finished(connection: Any, lane: str | None = None) -> Any:
    """The response whose events come next, all of them on this lane."""
    events: list[Any] = []
    while not events or events[-1].type not in ("response.completed", "response.failed", "error"):
        events.append(connection.recv())
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {event.to_dict().get("stream_id") for event in events} == {lane}
    assert events[-1].type == "response.completed", events[-1]
    return events[-1].response


IDS = {
    "openai-chat": b'"chatcmpl-1"',
    "openai-responses": b'"resp_1"',
    "anthropic": b'"id": "msg_1"',
    "gemini": b'"responseId": "r1"',
}


def numbered(model: Model, scene: Scene, number: int) -> Reply:
    """The stream of a scene, with an id of its own where the upstream gives ids."""
    old = IDS.get(model.format, b"")
    new = old.replace(b"1", str(number).encode())
    return streamed(model.format, [r.replace(old, new) if old else r for r in records(model.format, scene)])


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager")
@pytest.mark.parametrize("mode", ["stream"])
def test_lanes_of_a_websocket_keep_apart(client: Any, model: Model, mode: str, played_upstream: Played) -> None:
    texts = ("Snow.", "Rain.", "Sun.")
    played_upstream.answers(*(numbered(model, Scene(text=text), number) for number, text in enumerate(texts, 1)))
    asked = {"model": model.alias, "store": False}
    with client.responses.connect() as connection:
        connection.response.create(**asked, input="Oslo?", stream_id="a")
        connection.response.create(**asked, input="Rome?", stream_id="b")
        first, other = finished(connection, "a"), finished(connection, "b")
        connection.response.create(**asked, input="and later?", stream_id="a", previous_response_id=first.id)
        last = finished(connection, "a")
    said = [text_of(each.to_dict()) for each in (first, other, last)]
    assert [text in each for text, each in zip(texts, said, strict=True)] == [True] * 3
    after = text_of(played_upstream.bodies()[-1])
    assert all(words in after for words in ("Oslo?", "Snow.", "and later?"))
    assert "Rome?" not in after and "Rain." not in after


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager")
@pytest.mark.parametrize("mode", ["stream"])
def test_a_steering_is_given_back_and_can_be_sent_as_the_next_input(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    says(ANSWER, Scene(text="Rain."))
    asked = {"model": model.alias, "store": False, "stream_id": "a"}
    with client.responses.connect() as connection:
        connection.response.create(**asked, input="Oslo?")
        made = finished(connection, "a")
        connection.response.steer(previous_response_id=made.id, input="in Fahrenheit")
        connection.response.steer(previous_response_id="resp_other", input="in Fahrenheit")
        late, unknown = connection.recv(), connection.recv()
        codes = ("response_already_completed", "response_not_found")
        assert (late.error.code, unknown.error.code) == codes
        assert (late.steer.input, late.steer.previous_response_id) == ("in Fahrenheit", made.id)
        assert late.to_dict()["stream_id"] == "a"
        connection.response.create(**asked, input=late.steer.input, previous_response_id=made.id)
        assert "Rain." in text_of(finished(connection, "a").to_dict())
    assert all(words in text_of(played_upstream.bodies()[-1]) for words in ("Oslo?", "Snow.", "in Fahrenheit"))


def test_a_conversation_that_lives_at_openai_is_refused(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    says(ANSWER)
    for conversation in ("conv_1", {"id": "conv_1"}):
        with refused(400, words="[Cc]onversation"):
            create(client, mode, model=model.alias, input="go on", conversation=conversation)
    assert not played_upstream.bodies()


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager")
@pytest.mark.parametrize("mode", ["stream"])
def test_the_websocket_goes_on_with_new_items_only(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    says(CALLING, ANSWER)
    asked = {"model": model.alias, "tools": [WEATHER], "store": False}
    with client.responses.connect() as connection:
        connection.response.create(**asked, input=PLEASE)
        first = finished(connection)
        (call,) = [item for item in first.output if item.type == "function_call"]
        items = [result(call.call_id, "-3 degrees")]
        connection.response.create(**asked, input=items, previous_response_id=first.id)
        last = finished(connection)
    assert "Snow." in text_of(last.to_dict())
    after = played_upstream.bodies()[-1]
    for words in (PLEASE, "Oslo", "-3 degrees"):
        assert words in text_of(after)


@pytest.mark.parametrize("mode", ["whole"])
def test_a_conversation_is_compacted_and_goes_on(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    says(Scene(text="Ada asked for the weather."), ANSWER)
    if model.format == NATIVE:
        item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "Ada asked for the weather."}
        answer = whole(NATIVE, ANSWER)
        compaction = json.loads(bytes(answer.body)) | {"output": [item]}  # type: ignore[arg-type]
        played_upstream.answers(Reply(json.dumps(compaction).encode()), answer)
    compacted = client.responses.compact(model=model.alias, input=[{"role": "user", "content": PLEASE}])
    assert compacted.output[-1].type == "compaction"
    items = [item.to_dict(warnings=False) for item in compacted.output]
    last = create(client, mode, model=model.alias, input=[*items, {"role": "user", "content": "and then?"}])
    assert last.output_text == "Snow."
    after = played_upstream.bodies()[-1]
    for words in (PLEASE, "Ada asked for the weather.", "and then?"):
        assert words in text_of(after)
    assert no_envelope(after)


@pytest.mark.parametrize("mode", ["whole"])
def test_tokens_are_counted_with_tools_and_instructions(client: Any, model: Model, says: Any) -> None:
    bare = client.responses.input_tokens.count(model=model.alias, input=PLEASE).input_tokens
    asked = {"instructions": "Be brief. " * 50, "tools": [WEATHER]}
    assert client.responses.input_tokens.count(model=model.alias, input=PLEASE, **asked).input_tokens > bare > 0


PATCH = "*** Begin Patch\n+ naïve “café” \\ 東京\n*** End Patch"
CUSTOM: Any = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "patch" /.+/'},
}


def test_a_free_text_tool_is_called_with_free_text(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    free = model.format == NATIVE
    says(Scene(call="call_1", tool="apply_patch", arguments={"input": PATCH}, free=free), ANSWER)
    asked = {"model": model.alias, "tools": [CUSTOM], "store": False}
    first = create(client, mode, input="patch it", **asked)
    (call,) = [item for item in first.output if item.type == "custom_tool_call"]
    assert (call.name, call.input) == ("apply_patch", PATCH)
    history = [{"role": "user", "content": "patch it"}, *(item.to_dict() for item in first.output)]
    done = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "patched three files"}
    assert create(client, mode, input=[*history, done], **asked).output_text == "Snow."
    before, after = played_upstream.bodies()
    assert "apply_patch" in text_of(before)
    assert "start: " in text_of(before), "the grammar is told"
    assert "patched three files" in text_of(after)
    assert "東京" in text_of(after)


def test_a_tool_of_a_namespace_is_called_by_its_names(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    group: Any = {"type": "namespace", "name": "forecasts", "description": "Of places.", "tools": [WEATHER]}
    native = model.format == NATIVE
    tool, namespace = ("weather", "forecasts") if native else ("forecasts__weather", "")
    says(Scene(call="call_1", tool=tool, namespace=namespace, arguments={"city": "Oslo"}), ANSWER)
    asked = {"model": model.alias, "tools": [group, WEATHER], "store": False}
    first = create(client, mode, input=PLEASE, **asked)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.namespace, call.name, json.loads(call.arguments)) == ("forecasts", "weather", {"city": "Oslo"})
    history = [{"role": "user", "content": PLEASE}, *(item.to_dict() for item in first.output)]
    assert create(client, mode, input=[*history, result(call.call_id, "-3 degrees")], **asked).output_text == "Snow."
    before, after = played_upstream.bodies()
    assert ("forecasts__weather" in text_of(before)) is not native
    assert "-3 degrees" in text_of(after)


@pytest.mark.parametrize("mode", ["stream"])
def test_a_background_response_is_polled_streamed_again_and_cancelled(
    client: Any, model: Model, mode: str, says: Any, played_upstream: Played
) -> None:
    says(ANSWER)
    made = client.responses.create(model=model.alias, input=PLEASE, background=True)
    assert (made.status, made.background, made.output) == ("queued", True, [])
    with client.responses.retrieve(made.id, stream=True) as events:
        told = list(events)
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert [event.type for event in told[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert told[-1].type == "response.completed"
    with client.responses.retrieve(made.id, stream=True, starting_after=3) as events:
        assert [event.sequence_number for event in events] == [event.sequence_number for event in told[4:]]
    done = client.responses.retrieve(made.id)
    assert (done.id, done.status, done.output_text) == (made.id, "completed", "Snow.")
    assert client.responses.cancel(made.id).status == "completed", "it is finished"
    says(ANSWER)
    with client.responses.create(model=model.alias, input="and?", background=True, stream=True) as events:
        assert list(events)[-1].response.output_text == "Snow."
