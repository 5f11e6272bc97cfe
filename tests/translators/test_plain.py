"""A plain request is written around its words as it was around others, and comes out as if it had been read and written
as a whole."""

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.server.serving import peek
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Hints, Target
from llm_mux.translators.memory import LEAST
from llm_mux.translators.plain import Frames, Plain
from tests.translators.transcripts import CLIENTS, MODELS, transcripts

READERS = [name for name in CLIENTS if registry.get(name).plain is not None]
WRITERS = [name for name in CLIENTS if registry.get(name).said is not None]
MORE_MODELS = {"anthropic": ["claude-3-5-haiku-20241022", "claude-sonnet-4-6", "deepseek-chat"]}
TARGETS = [
    pytest.param(name, Target(model), id=f"{name}-{model}")
    for name in WRITERS
    for model in [MODELS[name], *MORE_MODELS.get(name, [])]
]

# What is said is in the messages: everything else of these requests is their settings.
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "usual": {"max_tokens": 100, "temperature": 0.5, "top_p": 1, "stop": ["END", " "], "stream": True, "user": "u"},
    "dropped": {"seed": 1, "presence_penalty": 0.5, "logit_bias": {"1": 2}, "verbosity": "low", "store": True},
    "thinking": {"reasoning_effort": "high", "max_completion_tokens": 9000},
    "no thinking": {"reasoning_effort": "none"},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
    "JSON": {"response_format": {"type": "json_object"}},
    "tools": {
        "tools": [
            {"type": "function", "function": {"name": "go.on", "parameters": SCHEMA}, "cache_control": {"type": "x"}},
            {"type": "function", "function": {"name": "look"}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    },
    "no tool": {"tools": [{"type": "function", "function": {"name": "look"}}], "tool_choice": "none"},
    "a tier": {"service_tier": "auto", "metadata": {"a": "b"}, "prompt_cache_key": "key", "unheard-of": [1]},
    **{
        str(each): {key: value for key, value in json.loads(each.body("request")).items() if key != "messages"}
        for each in transcripts("request", lambda each: each.format == "openai_chat")
    },
}

CLAUDES: dict[str, dict[str, Any]] = {
    "nothing": {"max_tokens": 100},
    "usual": {"max_tokens": 100, "temperature": 0.5, "stop_sequences": ["END", " "], "stream": True},
    "dropped": {"max_tokens": 100, "top_k": 5, "service_tier": "standard_only", "context_management": {"edits": []}},
    "thinking": {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
    "effort": {"max_tokens": 9000, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    "a schema": {"max_tokens": 100, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "tools": {
        "max_tokens": 100,
        "tools": [{"name": "go.on", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    },
    "a user": {"max_tokens": 100, "metadata": {"user_id": "u" * 70}, "container": None},
}
OF_READERS = [
    pytest.param(name, said, id=f"{name}-{case}")
    for name, all_said in (("openai_chat", SETTINGS), ("anthropic", CLAUDES))
    for case, said in all_said.items()
]

TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('\\"%\n\t{}[],:/\x7f\x1b'), min_size=1).filter(str.strip)
CONVERSATIONS = st.tuples(st.none() | TEXTS, st.lists(TEXTS, min_size=1, max_size=7).filter(lambda said: len(said) % 2))


def body_of(
    said: dict[str, Any], system: str | None, texts: list[str], name: str = "openai_chat", *, escaped: bool = False
) -> bytes:
    messages = [{"role": "user" if n % 2 == 0 else "assistant", "content": text} for n, text in enumerate(texts)]
    body = {"model": "m", **said}
    if name == "anthropic":
        blocks = [{**each, "content": [{"type": "text", "text": each["content"]}]} for each in messages]
        slot = {} if system is None else {"system": [{"type": "text", "text": system}] if escaped else system}
        body |= {"messages": blocks if escaped else messages, **slot}
    else:
        body["messages"] = messages if system is None else [{"role": "system", "content": system}, *messages]
    return json.dumps(body, ensure_ascii=escaped).encode()


def read(name: str, body: bytes) -> Plain | None:
    """As the daemon reads it: after a look at the body."""
    translator = registry.get(name)
    assert translator.plain is not None
    peeked = peek(body, Hints(), False, translator.outline)
    return translator.plain(peeked.body, peeked.outline, Hints())


def whole(name: str, body: bytes, writer: str, target: Target) -> tuple[Encoded, ir.Request] | str:
    """Read and written as a whole, or why not."""
    try:
        request = registry.get(name).decode_request(body, Hints())
        return registry.get(writer).encode_request(request, target), structs.replace(request, messages=())
    except MuxError as error:
        return error.message


def framed(name: str, first: bytes, second: bytes, writer: str, target: Target) -> tuple[Encoded, ir.Request] | None:
    """The second request around which stands what was learned from the first; None where nothing was."""
    frames, made = Frames[tuple[Encoded, ir.Request]](), whole(name, first, writer, target)
    spelling, one, other = registry.get(writer).said, read(name, first), read(name, second)
    assert spelling is not None
    if isinstance(made, str) or one is None or other is None:
        return None
    assert one.settings == other.settings
    frames.learn(one.settings, one.settings, made[0].body, spelling.pieces(one), made)
    frame = frames.get(one.settings)
    if frame is None:
        return None
    encoded, request = frame.kept
    body = frame.around(spelling.pieces(other))
    return Encoded(body, encoded.dropped, encoded.names, encoded.stops, encoded.headers, encoded.max_tokens), request


@pytest.mark.parametrize(("name", "said"), OF_READERS)
@pytest.mark.parametrize(("writer", "target"), TARGETS)
@given(first=CONVERSATIONS, second=CONVERSATIONS, escaped=st.booleans())
@settings(max_examples=4)
def test_a_request_comes_out_the_same_whether_its_settings_were_known_or_not(
    name: str,
    writer: str,
    target: Target,
    said: dict[str, Any],
    first: tuple[str | None, list[str]],
    second: tuple[str | None, list[str]],
    escaped: bool,
) -> None:
    system = first[0] if second[0] is not None else None
    one, other = (
        body_of(said, system, first[1], name),
        body_of(said, second[0] if system else None, second[1], name, escaped=escaped),
    )
    found = framed(name, one, other, writer, target)
    assert found is None or found == whole(name, other, writer, target)


@pytest.mark.parametrize("system", [None, "You are careful."])
@pytest.mark.parametrize(("writer", "target"), TARGETS)
@pytest.mark.parametrize("name", READERS)
def test_the_usual_settings_are_known_from_the_second_request_on(
    name: str, writer: str, target: Target, system: str | None
) -> None:
    said = {"openai_chat": SETTINGS, "anthropic": CLAUDES}[name]["usual"]
    one = body_of(said, system, ["one"], name)
    other = body_of(said, system and "Be brief.", ["one", "two", "three"], name)
    assert framed(name, one, other, writer, target) == whole(name, other, writer, target)


USER, ASSISTANT = {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}
UNUSUAL: dict[str, list[dict[str, Any]]] = {
    "no message": [],
    "the model has the last word": [USER, ASSISTANT],
    "the model has the first word": [ASSISTANT, USER],
    "nobody but the system": [{"role": "system", "content": "one"}],
    "two system messages": [{"role": "system", "content": "one"}] * 2 + [USER],
    "a late system message": [USER, ASSISTANT, {"role": "system", "content": "one"}, USER],
    "two turns of one role": [USER, USER, USER],
    "a blank text": [{"role": "user", "content": " \n"}],
    "a blank text in the middle": [USER, {"role": "assistant", "content": ""}, USER],
    "no text": [USER, {"role": "assistant", "content": None}, USER],
    "content in parts": [{"role": "user", "content": [{"type": "text", "text": "one"}]}],
    "a system message in parts": [{"role": "system", "content": [{"type": "text", "text": "one"}]}, USER],
    "a name": [USER | {"name": "Ada"}],
    "a mark for the cache": [USER | {"cache_control": {"type": "ephemeral"}}],
    "a developer": [{"role": "developer", "content": "one"}, USER],
    "a call": [USER, ASSISTANT | {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]}, USER],
    "a result": [USER, ASSISTANT, {"role": "tool", "tool_call_id": "c", "content": "r"}],
    "reasoning": [USER, ASSISTANT | {"reasoning_content": "so"}, USER],
    "very many turns": [USER, ASSISTANT] * 40 + [USER],
    "very much text": [USER | {"content": "a" * LEAST}],
}


@pytest.mark.parametrize("messages", UNUSUAL.values(), ids=UNUSUAL)
def test_a_request_with_anything_else_in_its_messages_is_not_plain(messages: list[dict[str, Any]]) -> None:
    assert read("openai_chat", json.dumps({"model": "m", "messages": messages}).encode()) is None


def block(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


MARK = {"cache_control": {"type": "ephemeral"}}
UNUSUAL_CLAUDES: dict[str, dict[str, Any]] = {
    "the model has the last word": {"messages": [USER, ASSISTANT]},
    "two turns of one role": {"messages": [USER, USER, USER]},
    "a blank text": {"messages": [{"role": "user", "content": [block(" ")]}]},
    "two texts": {"messages": [{"role": "user", "content": [block("a"), block("b")]}]},
    "no text": {"messages": [{"role": "user", "content": []}]},
    "a mark for the cache": {"messages": [{"role": "user", "content": [block("a", **MARK)]}]},
    "a marked message": {"messages": [USER | MARK]},
    "an odd message": {"messages": [USER | {"odd": 1}]},
    "a citation": {"messages": [{"role": "user", "content": [block("a", citations=[])]}]},
    "a result": {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]},
    "a thought": {"messages": [USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}, USER]},
    "a system message": {"messages": [USER, ASSISTANT, {"role": "system", "content": "x"}]},
    "a marked slot": {"messages": [USER], "system": [block("a", **MARK)]},
    "two texts in the slot": {"messages": [USER], "system": [block("a"), block("b")]},
    "a blank slot": {"messages": [USER], "system": ""},
    "no slot": {"messages": [USER], "system": None},
    "whose client it is": {"messages": [USER], "system": "x-anthropic-billing-header: cc_version=1"},
    "marked tools": {"messages": [USER], "tools": [{"name": "look", **MARK}]},
    "who it is": {"messages": [USER], "metadata": {"user_id": "u"}},
    "very much text": {"messages": [USER | {"content": "a" * LEAST}]},
}


@pytest.mark.parametrize("body", UNUSUAL_CLAUDES.values(), ids=UNUSUAL_CLAUDES)
def test_a_request_of_messages_with_anything_else_is_not_plain(body: dict[str, Any]) -> None:
    assert read("anthropic", json.dumps({"model": "m", "max_tokens": 9, **body}).encode()) is None


def test_a_session_that_names_a_cache_is_read_as_a_whole() -> None:
    body, claude = body_of({"max_tokens": 9}, None, ["one"], "anthropic"), registry.get("anthropic")
    outline = peek(body, Hints(), False, claude.outline).outline
    assert claude.plain is not None
    assert claude.plain(body, outline, Hints()) is not None
    assert claude.plain(body, outline, Hints(headers={"x-claude-code-session-id": "s"})) is None


def test_everything_beside_the_messages_is_settings() -> None:
    found = [read("openai_chat", body_of(said, None, ["one"])) for said in [{}, {"a": 1}, {"a": 2}, {"tools": []}]]
    assert len({each.settings for each in found if each is not None}) == len(found)


def test_nothing_is_learned_of_a_body_in_which_what_is_said_is_not_found_once() -> None:
    frames = Frames[None]()
    for body in (b"a", b"a b b", b"b b a"):
        frames.learn(body, b"", body, (b"b",), None)
        assert frames.get(body) is None
    frames.learn("twice", b"", b"b a b", (b"b", b"a"), None)
    assert frames.get("twice") is None


def test_what_is_kept_is_bounded_by_bytes() -> None:
    frames = Frames[None](most=64 << 10)
    for key in string.ascii_letters:
        frames.learn(key, b"", b"%b said" % (b"x" * 2000), (b"said",), None)
    assert 0 < sum(frames.get(key) is not None for key in string.ascii_letters) <= 16
    frames.learn("large", b"", b"%b said" % (b"x" * (9 << 10)), (b"said",), None)
    assert frames.get("large") is None
