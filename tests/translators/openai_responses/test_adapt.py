"""Which requests go to a server of this format as they came: what an outline shows and what a search for marks finds.

The two agree on every request but for what stands in texts only: a search takes that for the thing itself.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llm_mux import ir
from llm_mux.providers.codex import BACKEND
from llm_mux.providers.compatible import RESPONSES
from llm_mux.server.serving import peek
from llm_mux.translators import envelope
from llm_mux.translators.base import Edits, Hints, Outline, Target
from llm_mux.translators.openai_chat.outline import Usual
from llm_mux.translators.openai_responses import outline, searches, summary
from llm_mux.translators.openai_responses.decode import RESOLVED
from llm_mux.translators.openai_responses.outline import Head
from llm_mux.translators.openai_responses.quirks import Quirks
from llm_mux.translators.openai_responses.translator import TRANSLATOR
from tests.translators.openai_responses.kit import MODEL, body, raw

SEAL = envelope.seal(ir.Native("gemini", raw(1)))
SEAL_OF_CALL = envelope.seal_of_call(ir.Native("gemini", raw(1)))
OUR_ID = f"{searches.SEARCH_ID}1"
BREAK = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
IMAGE = {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}
TEXT = {"type": "input_text", "text": "x"}
GROUP = {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "f"}]}
MINE = Quirks()
NO_MARKS = Quirks(cache_marks=False)
NO_CUSTOM = Quirks(custom_tools=False)
PLAIN_RESULTS = Quirks(rich_results=False)
SYSTEM = Quirks(system_role="system")


def looked_at(sent: bytes) -> Outline:
    """What the server's look at a request finds."""
    found = peek(sent, Hints(), False, TRANSLATOR.outline).outline
    assert found is not None
    return found


def result(output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": output}


def goes(sent: bytes, quirks: Quirks, found: Outline | None) -> Edits | None:
    return TRANSLATOR.adapt(sent, Target(MODEL, quirks=quirks), False, found)


@pytest.mark.parametrize(
    ("fields", "quirks"),
    [
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": SEAL}]}, MINE),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": SEAL_OF_CALL}]}, MINE),
        ({"input": [{"type": "compaction", "encrypted_content": summary.sealed("x")}]}, MINE),
        ({"input": [{"type": "compaction_summary", "encrypted_content": summary.sealed("x")}]}, MINE),
        ({"input": [{"role": "user", "content": "x", "encrypted_content": SEAL}]}, MINE),
        ({"input": [{"role": "user", "content": [{"type": "new", "encrypted_content": SEAL}]}]}, MINE),
        ({"input": [result([{"type": "encrypted_content", "encrypted_content": SEAL}])]}, MINE),
        ({"input": [result([TEXT, {"type": "input_text", "text": "x", "new": {"seal": SEAL}}])]}, MINE),
        ({"input": [result({"type": "reasoning", "encrypted_content": SEAL})]}, MINE),
        ({"input": [{"type": "new", "items": [{"type": "reasoning", "encrypted_content": SEAL}]}]}, MINE),
        ({"input": {"type": "reasoning", "encrypted_content": SEAL}}, MINE),
        ({"prompt": {"id": "p", "variables": {"x": SEAL}}}, MINE),
        ({"new": {"encrypted_content": SEAL}}, MINE),
        ({"input": [{"type": "web_search_call", "id": OUR_ID, "status": "completed"}]}, MINE),
        ({"input": [{"type": "item_reference", "id": OUR_ID}]}, MINE),
        ({"input": [{"id": OUR_ID}]}, MINE),
        ({"input": [{"role": "developer", "content": "x"}]}, SYSTEM),
        ({"input": [{"role": "system", "content": "x"}]}, BACKEND),
        ({"input": [{"role": "user", "content": [TEXT, BREAK]}]}, NO_MARKS),
        ({"input": [result([TEXT, BREAK])]}, NO_MARKS),
        ({"input": [result([BREAK, {"type": "new"}])]}, NO_MARKS),
        ({"instructions": [BREAK]}, NO_MARKS),
        ({"prompt": {"id": "p", "variables": {"x": BREAK}}}, NO_MARKS),
        ({"tools": [{"type": "function", "name": "f", "prompt_cache_breakpoint": {}}]}, NO_MARKS),
        (
            {"input": [{"type": "additional_tools", "tools": [GROUP | {"tools": [{"prompt_cache_breakpoint": {}}]}]}]},
            NO_MARKS,
        ),
        ({"tools": [{"type": "custom", "name": "p"}]}, NO_CUSTOM),
        ({"tools": [{"type": "function", "name": "f"}, GROUP]}, NO_CUSTOM),
        ({"tools": [{"type": "new", "tools": [{"type": "custom", "name": "p"}]}]}, NO_CUSTOM),
        ({"tools": [{"type": "tool_search"}]}, NO_CUSTOM),
        ({"tool_choice": {"type": "custom", "name": "p"}}, NO_CUSTOM),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "custom", "name": "p"}]}}, NO_CUSTOM),
        ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "x"}]}, NO_CUSTOM),
        ({"input": [{"type": "custom_tool_call_output", "call_id": "c", "output": "x"}]}, NO_CUSTOM),
        ({"input": [{"type": "tool_search_call", "call_id": "c", "arguments": {}}]}, NO_CUSTOM),
        ({"input": [{"type": "tool_search_output", "call_id": "c", "tools": []}]}, NO_CUSTOM),
        ({"input": [{"type": "additional_tools", "role": "developer", "tools": [GROUP]}]}, NO_CUSTOM),
        ({"input": [{"type": "configuration_update", "reasoning": {"effort": "low"}}]}, NO_CUSTOM),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "", "namespace": "n"}]},
            NO_CUSTOM,
        ),
        ({"input": [result([TEXT, IMAGE])]}, PLAIN_RESULTS),
        ({"input": [result([IMAGE, {"type": "new"}])]}, PLAIN_RESULTS),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, Quirks(hosted_tools=frozenset())),
        ({"input": "x"}, BACKEND),
        ({"input": None}, MINE),
        ({"input": [{"role": "user", "content": "x"}], "max_output_tokens": 5}, BACKEND),
        ({"conversation": "conv_1"}, RESPONSES),
    ],
)
def test_what_only_a_translation_puts_right_is_found_however_the_body_was_looked_at(
    fields: dict[str, Any], quirks: Quirks
) -> None:
    sent = body(**fields)
    assert [goes(sent, quirks, found) for found in (looked_at(sent), None, Outline(MODEL), Usual(MODEL))] == [None] * 4


@pytest.mark.parametrize("written", [rb"\u0067w1.", rb"g\u00771.", rb"gw\u0031."])
def test_a_seal_is_known_in_any_spelling(written: bytes) -> None:
    sent = body(input=[{"type": "reasoning", "encrypted_content": SEAL}]).replace(b"gw1.", written)
    assert goes(sent, MINE, looked_at(sent)) is None


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", **fields}


@pytest.mark.parametrize("mark", ["gw1.gemini.-.MQ", OUR_ID, "custom", "namespace", "tool_search", "developer"])
@pytest.mark.parametrize(
    "fields",
    [
        lambda mark: {"input": mark},
        lambda mark: {"input": [{"role": "user", "content": mark}]},
        lambda mark: {"input": [{"role": "user", "content": [{"type": "input_text", "text": mark}]}]},
        lambda mark: {"input": [call(arguments=mark), result(mark)]},
        lambda mark: {"input": [call(name=mark, call_id=mark)]},
        lambda mark: {"input": [result([{"type": "input_text", "text": mark}])]},
        lambda mark: {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": mark}]}]},
        lambda mark: {"instructions": mark},
        lambda mark: {"metadata": {mark: mark}, "user": mark, "prompt_cache_key": mark},
        lambda mark: {"tools": [{"type": "function", "name": mark, "description": mark, "parameters": {mark: mark}}]},
    ],
)
def test_a_mark_that_is_only_a_text_or_a_name_costs_no_translation(mark: str, fields: Any) -> None:
    sent = body(**fields(mark))
    assert goes(sent, RESPONSES, looked_at(sent)) is not None
    assert goes(sent, RESPONSES, Outline(MODEL)) is None


def test_a_picture_of_the_user_may_go_where_results_are_texts() -> None:
    sent = body(input=[{"role": "user", "content": [IMAGE]}, call(), result("x")])
    assert goes(sent, PLAIN_RESULTS, looked_at(sent)) is not None


def test_a_request_that_names_the_target_s_model_goes_unchanged() -> None:
    assert goes(body(), MINE, looked_at(body())) == goes(body(), MINE, Outline(MODEL)) == Edits({})


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"input": [{"role": "user", "content": '"additional_tools"'}]}, False),
        ({"input": [], "tools": []}, False),
        ({"input": [], "tools": [{"type": "function", "name": "f"}]}, True),
        ({"input": [{"type": "additional_tools", "tools": [GROUP]}]}, True),
    ],
)
def test_how_tools_are_called_is_said_only_where_there_are_tools(fields: dict[str, Any], kept: bool) -> None:
    sent = body(**fields, parallel_tool_calls=True)
    edits = goes(sent, BACKEND, looked_at(sent))
    assert edits is not None
    assert ("parallel_tool_calls" not in edits.top) is kept


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [{"role": "user", "content": "x", "new": 1}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "new": 1}]}]},
        {"input": [{"role": "user", "content": ["x"]}]},
        {"input": [{"role": "user", "content": [{"type": "new"}]}]},
        {"input": [{"role": "tool", "content": "x"}]},
        {"input": [{"type": "new"}]},
        {"input": [{"type": 1}]},
        {"input": ["x"]},
        {"input": {"role": "user", "content": "x"}},
        {"input": 1},
        {"tools": {}},
        {"tools": ["x"]},
        {"tools": [{"type": 1}]},
        {"__ours": 1},
        {"new": 1},
    ],
)
def test_what_has_no_outline_is_neither_refused_nor_decided_otherwise(fields: dict[str, Any]) -> None:
    sent = body(**fields)
    found = looked_at(sent)
    assert type(found) is Outline
    for quirks in (MINE, BACKEND, RESPONSES):
        assert goes(sent, quirks, found) == goes(sent, quirks, None)


def test_a_server_that_refuses_what_an_outline_has_not_as_it_came_gets_it_left_out() -> None:
    sent = body(tools=[{"type": "function", "name": "f"}], user="u")
    edits = goes(sent, Quirks(unsupported=frozenset({"tools", "user", "new"})), looked_at(sent))
    assert edits == Edits({"tools": None, "user": None}, ("tools", "user"))


def test_outlined_items_and_parts_are_those_that_say_all_they_hold() -> None:
    assert all(kind.__struct_config__.forbid_unknown_fields for kind in (outline.Head, outline.Item, outline.Part))


class Said(str):
    """A text or a name: whatever it is, it decides nothing."""


MARKS = [
    *("gw1.gemini.-.MQ", OUR_ID, "custom", "custom_x", "namespace", "tool_search", "additional_tools"),
    *("configuration_update", "system", "developer", "prompt_cache_breakpoint", "input_image", 'a "gw1.b" "custom" c'),
]
said = st.sampled_from(["", "x", "say", *MARKS]).map(Said)
maybe = st.booleans()


def some(required: Mapping[str, Any], optional: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict(required), optional=dict(optional))


def kinds(*names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names)


MARK = {"prompt_cache_breakpoint": st.just({"mode": "explicit"})}
texts = some({"type": kinds("input_text", "output_text"), "text": said}, MARK)
pictures = some({"type": st.just("input_image"), "image_url": said}, {"detail": st.just("auto"), **MARK})
contents = said | st.none() | st.lists(texts | pictures, max_size=2)
ids = st.sampled_from(["msg_1", "fc_1", "ws_1", OUR_ID, None])
tools = st.recursive(
    some(
        {"type": kinds("function", "function", "custom", "web_search", "tool_search", "mcp")},
        {"name": said, "description": said, "parameters": st.dictionaries(said, said, max_size=1), **MARK},
    ),
    lambda inner: some({"type": kinds("namespace"), "name": said}, {"tools": st.lists(inner, max_size=2)}),
    max_leaves=3,
)
ANY = {"id": ids, "status": kinds("completed"), "internal_chat_message_metadata_passthrough": st.just({"a": 1})}
CALLED = {"call_id": said, "name": said, "namespace": said | st.none(), **ANY}
items = st.one_of(
    some(
        {"role": kinds("user", "assistant", "developer", "system"), "content": contents},
        {"type": kinds("message"), "phase": kinds("commentary"), **ANY},
    ),
    some({"type": kinds("function_call"), "arguments": said}, CALLED),
    some({"type": kinds("function_call_output"), "output": said | st.lists(texts | pictures, max_size=2)}, CALLED),
    some({"type": kinds("custom_tool_call"), "input": said}, CALLED),
    some({"type": kinds("custom_tool_call_output"), "output": said | st.lists(texts, max_size=2)}, CALLED),
    some(
        {"type": kinds("reasoning", "compaction", "compaction_summary")},
        {
            "encrypted_content": st.sampled_from([SEAL, SEAL_OF_CALL, "gAAAAA", "a gw1.", "", None]),
            "summary": st.lists(some({"type": kinds("summary_text"), "text": said}, {}), max_size=1),
            "content": st.none(),
            **ANY,
        },
    ),
    some({"type": kinds("web_search_call", "item_reference", "compaction_trigger")}, ANY),
    some({"type": kinds("additional_tools", "tool_search_output")}, {"tools": st.lists(tools, max_size=2), **ANY}),
)
TOP = {
    "stream": maybe | st.none(),
    "instructions": said | st.none() | st.just([BREAK]),
    "tools": st.lists(tools, max_size=3) | st.none(),
    "tool_choice": st.sampled_from(["auto", None, {"type": "custom", "name": "p"}, {"type": "function", "name": "f"}]),
    "parallel_tool_calls": maybe,
    "reasoning": st.sampled_from([None, {"effort": "none"}, {"effort": "high"}, "high"]),
    "include": st.sampled_from([None, [], ["reasoning.encrypted_content"], ["x"], "x", 1]),
    "store": maybe,
    "background": maybe | st.none(),
    "temperature": st.sampled_from([1, None]),
    "top_p": st.sampled_from([0.5, None]),
    "max_output_tokens": st.sampled_from([5, None]),
    "previous_response_id": st.sampled_from(["resp_1", None]),
    RESOLVED: st.just("resp_1"),
    "conversation": st.sampled_from(["conv_1", None]),
    "prompt": st.sampled_from([None, {"id": "p"}, {"id": "p", "variables": {"x": SEAL}}]),
    "service_tier": st.sampled_from(["priority", "flex", None, 1]),
    "user": said,
    "prompt_cache_key": said,
    "prompt_cache_retention": said,
    "metadata": st.dictionaries(said, said, max_size=1),
}
BASE = {"input": st.lists(items, max_size=4) | said, "model": st.sampled_from([MODEL, "gpt-4.1"])}
# Few settings at once: among many is always one that costs a translation anyway.
requests = st.lists(st.sampled_from(sorted(TOP)), unique=True, max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({**BASE, **{name: TOP[name] for name in names}})
)
odd = {
    "item": lambda sent: sent.update(input=[*sent["input"], {"type": "configuration_update", "id": OUR_ID}]),
    "field": lambda sent: sent.update(input=[*sent["input"], {"role": "user", "new": {"type": "custom"}}]),
    "part": lambda sent: sent.update(input=[*sent["input"], {"role": "user", "content": [{"type": "new"}]}]),
    "text": lambda sent: sent.update(input=[*sent["input"], "x"]),
    "setting": lambda sent: sent.update(new={"type": "namespace"}),
    "ours": lambda sent: sent.update(__new=1),
    "tools": lambda sent: sent.update(tools="x"),
}
targets = st.builds(
    lambda model, quirks: Target(model, quirks=quirks),
    st.sampled_from([MODEL, "gpt-4.1", "other"]),
    st.sampled_from(
        [None, BACKEND, RESPONSES, replace(RESPONSES, hosted_tools=None), NO_CUSTOM, NO_MARKS, PLAIN_RESULTS, SYSTEM]
    ),
)


def telling_nothing(value: Any, *, picture: str = "input_text") -> Any:
    """`value` with nothing in its texts, and without pictures in messages: a search takes any for one in a result."""
    match value:
        case Said():
            return ""
        case {"type": "input_image", **others}:
            return {"type": picture, **telling_nothing(others)}
        case {"type": "function_call_output", **others}:
            return {"type": "function_call_output", **telling_nothing(others, picture="input_image")}
        case dict():
            return {telling_nothing(name): telling_nothing(each, picture=picture) for name, each in value.items()}
        case list():
            return [telling_nothing(each, picture=picture) for each in value]
        case _:
            return value


@settings(max_examples=1500, deadline=None)
@given(requests, targets, maybe)
def test_an_outline_decides_what_a_search_would_in_a_request_whose_texts_say_nothing(
    asked: dict[str, Any], target: Target, stream: bool
) -> None:
    sent, silent = json.dumps(asked).encode(), json.dumps(telling_nothing(asked)).encode()
    found = looked_at(sent)
    assert type(found) is Head
    decided = TRANSLATOR.adapt(sent, target, stream, found)
    assert decided == TRANSLATOR.adapt(silent, target, stream, Outline("m"))
    assert decided == TRANSLATOR.adapt(sent, target, stream)


@settings(max_examples=300, deadline=None)
@given(requests, st.sampled_from(sorted(odd)), targets, maybe)
def test_a_request_without_an_outline_is_decided_by_a_search(
    asked: dict[str, Any], oddity: str, target: Target, stream: bool
) -> None:
    if isinstance(asked["input"], str):
        asked["input"] = []
    odd[oddity](asked)
    sent = json.dumps(asked).encode()
    found = looked_at(sent)
    assert type(found) is Outline
    assert TRANSLATOR.adapt(sent, target, stream, found) == TRANSLATOR.adapt(sent, target, stream)
