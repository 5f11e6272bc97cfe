"""What a client of any format is told of an answer is the same whole and streamed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from llm_mux import ir
from llm_mux.gateway.enforce import Enforcer
from llm_mux.gateway.fold import Fold, unfold
from llm_mux.translators import registry
from llm_mux.translators.base import Hints, Target

FORMATS: dict[str, tuple[str, bytes, Hints]] = {
    "openai_chat": (
        "gpt-4.1",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}',
        Hints(),
    ),
    "openai_responses": ("gpt-5.6", b'{"model":"m","input":"x","tools":[{"type":"function","name":"f"}]}', Hints()),
    "anthropic": (
        "claude-sonnet-4-5",
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f","input_schema":{}}]}',
        Hints(),
    ),
    "gemini": ("gemini-3-flash", b'{"contents":[{"role":"user","parts":[{"text":"x"}]}]}', Hints(model="m")),
    "ollama": ("qwen3", b'{"model":"m","messages":[{"role":"user","content":"x"}]}', Hints(operation="chat")),
}

_words = st.text(alphabet='ab\u00e9\u4e16\n"<', min_size=1, max_size=6)
_cited = st.builds(
    ir.Citation, url=st.sampled_from(["https://a.test", "https://b.test"]), title=st.none() | st.just("T")
)
_use = Raw(b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"q"}}')
_code = Raw(b'{"executableCode":{"code":"1","language":"PYTHON"}}')
_parts: st.SearchStrategy[ir.Part] = st.one_of(
    st.builds(ir.Text, _words, citations=st.lists(_cited, max_size=2).map(tuple)),
    st.builds(ir.Reasoning, _words),
    st.builds(ir.ToolCall, st.just("call"), st.just("f"), st.sampled_from(['{"a":1}', "{}", ""])),
    st.builds(ir.Refusal, _words.map(lambda text: text + ".")),
    st.builds(ir.Image, st.just(ir.Inline("image/png", "aGk="))),
    st.just(ir.Opaque(ir.Native("anthropic", _use), "server_tool_use", hint=True)),
    st.just(ir.Opaque(ir.Native("gemini", _code), "executableCode", "`1`")),
)


def told(response: ir.Response) -> object:
    """What stands in an answer, apart from how texts are cut and in which order kinds of parts come."""
    (choice,) = response.choices
    words = {kind: "" for kind in (ir.Text, ir.Reasoning, ir.Refusal)}
    others: list[tuple[object, ...]] = []
    sources: set[str | None] = set()
    for part in choice.parts:
        match part:
            case ir.ToolCall():
                others.append(("call", part.name, part.arguments or "{}"))
            case ir.Text() | ir.Reasoning() | ir.Refusal():
                words[type(part)] += "".join(part.text.split())
                sources.update(one.url for one in getattr(part, "citations", ()))
            case ir.Opaque(label=label):
                others.append((label,))
            case _:
                others.append((type(part).__name__,))
    return words, sources, sorted(others), choice.finish.reason


@pytest.mark.parametrize("name", FORMATS)
@given(parts=st.lists(_parts, max_size=4), ending=st.sampled_from(["stop", "length", "refusal"]))
def test_a_client_is_told_the_same_whole_and_streamed(name: str, parts: list[ir.Part], ending: ir.FinishReason) -> None:
    model, body, hints = FORMATS[name]
    translator, target = registry.get(name), Target(model)
    own = tuple(
        msgspec.structs.replace(part, id=f"call_{at}") if isinstance(part, ir.ToolCall) else part
        for at, part in enumerate(parts)
    )
    called = any(isinstance(part, ir.ToolCall) for part in own)
    finish = ir.Finish("tool_calls" if called and ending == "stop" else ending)
    answer = ir.Response("abc", "m", (ir.Choice(own, finish),), ir.Usage(1, 2), 5)
    request = translator.decode_request(body, hints)
    whole = translator.decode_response(translator.encode_response(answer, request), target)
    encoder, decoder, fold = translator.stream_encoder(request), translator.stream_decoder(target), Fold()
    fold.feed(decoder.feed(b"".join(encoder.encode([event]) for event in unfold(answer))) + decoder.finish())
    assert told(fold.response()) == told(whole)


LATE = ir.Cite(0, ir.Citation("https://a.test", "A", start=2, end=5))


@pytest.mark.parametrize("name", [*FORMATS, "bedrock"])
@pytest.mark.parametrize("between", [ir.ToolCall("c", "f", ""), ir.Image(ir.Inline("image/png", "aGk=")), ir.Text("")])
def test_a_source_that_comes_after_its_text_ended_is_told(name: str, between: ir.Part) -> None:
    model, body, hints = FORMATS.get(name, FORMATS["openai_chat"])
    request = registry.get(name if name in FORMATS else "openai_chat").decode_request(body, hints)
    encoder, decoder = registry.get(name).stream_encoder(request), registry.get(name).stream_decoder(Target(model))
    said: list[ir.Event] = [ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "a cited text"), ir.PartEnd(0)]
    more: list[ir.Event] = [ir.PartStart(1, between), ir.PartEnd(1), LATE]
    sent = [ir.Start("abc", "m"), *said, *more, ir.Finish("stop"), ir.Done()]
    assert ir.violations(sent) == []
    received = decoder.feed(b"".join(encoder.encode([event]) for event in sent)) + decoder.finish()
    assert ir.violations(received) == []
    fold = Fold()
    fold.feed(received)
    texts = [part for part in fold.response().choices[0].parts if isinstance(part, ir.Text)]
    places = [(one.url, one.start, one.end) for text in texts for one in text.citations]
    match name:
        case "openai_chat" | "openai_responses" | "gemini":
            assert places == [("https://a.test", 2, 5)]
        case "anthropic":
            assert texts[-1].text == "Sources:\n- [A](https://a.test)"
        case "bedrock":
            assert [url for url, _, _ in places] == ["https://a.test"]
        case _:  # Beside calls there is no room for links.
            called = isinstance(between, ir.ToolCall)
            assert ("".join(text.text for text in texts).endswith("- [A](https://a.test)")) is not called


def test_a_source_of_a_text_that_was_cut_is_left_out() -> None:
    cut = Enforcer(["x"])
    said = [ir.Start("a", "m"), ir.PartStart(0, ir.Text("")), ir.TextDelta(0, "ax"), ir.PartEnd(0), LATE]
    assert not any(isinstance(event, ir.Cite) for event in cut([*said, ir.Finish("stop"), ir.Done()]))
    kept = Enforcer(["y"])
    events = kept([*said, ir.Finish("stop"), ir.Done()])
    assert LATE in events and ir.violations(events) == []
