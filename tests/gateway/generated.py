"""Hypothesis strategies for answers in canonical form."""

from hypothesis import strategies as st
from msgspec import Raw

from llm_mux import ir

text = st.text(max_size=12)
natives = st.builds(
    ir.Native, st.sampled_from(["anthropic", "gemini"]), st.sampled_from([Raw(b'"s1"'), Raw(b'{"a":1}')])
)
maybe_native = st.none() | natives
citations = st.builds(ir.Citation, url=st.just("https://example.com"), title=st.none() | text)
texts = st.builds(ir.Text, text, citations=st.lists(citations, max_size=2).map(tuple), native=maybe_native)
parts: st.SearchStrategy[ir.Part] = st.one_of(
    texts,
    st.builds(ir.Reasoning, text, native=maybe_native, raw=st.booleans()),
    st.builds(ir.ToolCall, text, text, text, custom=st.booleans(), native=maybe_native),
    st.builds(ir.Refusal, text),
    st.builds(ir.Opaque, natives, st.just("a block"), text),
    st.builds(ir.Image, st.builds(ir.Inline, st.just("image/png"), st.just("aGk=")), native=maybe_native),
)
usages = st.builds(ir.Usage, input=st.integers(0, 99), output=st.integers(0, 99), cache_read=st.integers(0, 9))
reasons: st.SearchStrategy[ir.FinishReason] = st.sampled_from(["stop", "length", "tool_calls"])


@st.composite
def _responses(draw: st.DrawFn) -> ir.Response:
    choices = []
    for number in range(draw(st.integers(1, 3))):
        own = tuple(draw(st.lists(parts, max_size=4)))
        spoken = any(isinstance(part, ir.Text) and part.text for part in own)
        logprobs = draw(st.none() | st.just(Raw(b'[{"token":"a"}]'))) if spoken else None
        choices.append(ir.Choice(own, ir.Finish(draw(reasons), number), logprobs))
    created = draw(st.integers(0, 2_000_000_000))
    return ir.Response(draw(text), draw(text), tuple(choices), draw(st.none() | usages), created)


responses = _responses()
