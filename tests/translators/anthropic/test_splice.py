"""When a client's own bytes may go to a target of this format, and with which edits."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from llm_mux.translators.anthropic.quirks import Quirks
from llm_mux.translators.anthropic.translator import TRANSLATOR
from llm_mux.translators.base import Edits, Hints
from llm_mux.wire import jsonx
from tests.translators.anthropic import kit


def adapted(
    body: bytes, model: str = kit.MODEL, quirks: Quirks | None = None, *, stream: bool = False, **more: int
) -> Edits | None:
    return TRANSLATOR.adapt(body, kit.target(model, quirks, **more), stream)


@pytest.mark.covers("FB-101", "PF-52")
def test_the_models_own_request_goes_through_untouched() -> None:
    odd = kit.body(
        "hi",
        {"role": "system", "content": "x"},
        thinking={"type": "next_years"},
        tool_choice={"type": "any"},
        temperature=0.3,
        x_new={"a": 1},
    )
    assert adapted(odd) == Edits()


def test_an_alias_changes_the_model_alone() -> None:
    body = kit.body("hi", max_tokens=32000)
    edits = adapted(body, "claude-opus-4-8")
    assert edits == Edits({"model": b'"claude-opus-4-8"'})
    assert json.loads(jsonx.splice(body, edits.top)) == {**json.loads(body), "model": "claude-opus-4-8"}


def test_the_stream_flag_and_a_known_limit_are_edited() -> None:
    assert adapted(kit.body("hi", max_tokens=99), stream=True, max_output=50) == Edits(
        {"stream": b"true", "max_tokens": b"50"}
    )
    assert adapted(kit.body("hi", stream=True)) == Edits({"stream": None})


@dataclass(frozen=True)
class Case:
    """A request that must be translated for a target."""

    fields: dict[str, object]
    model: str = "claude-haiku-4-5"
    quirks: Quirks | None = None
    messages: tuple[object, ...] = ("hi",)


TRANSLATED = [
    Case({"thinking": {"type": "adaptive"}}),
    Case({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "claude-opus-4-8"),
    Case({"thinking": {"type": "disabled"}}, "claude-opus-5-5"),
    Case({"tool_choice": {"type": "any"}}, "claude-opus-5-5"),
    Case({"temperature": 0.3}, "claude-opus-4-8"),
    Case({"output_config": {"effort": "high"}}),
    Case({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "claude-sonnet-4-0"),
    Case({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "deepseek-chat", kit.COMPATIBLE),
    Case({}, messages=("hi", {"role": "system", "content": "x"})),
    Case({}, "deepseek-chat", kit.COMPATIBLE, ("hi", {"role": "system", "content": "x"})),
    Case({"thinking": {"type": "adaptive"}}, "deepseek-chat", kit.COMPATIBLE),
    Case({"max_tokens": None}, kit.MODEL),
    Case({}, kit.MODEL, messages=(kit.user("hi", ""),)),
    Case(
        {},
        kit.MODEL,
        messages=("hi", kit.assistant({"type": "thinking", "thinking": "", "signature": "gw1.gemini.x.e30"}), "go"),
    ),
    Case(
        {},
        kit.MODEL,
        messages=(
            "hi",
            kit.assistant({"type": "thinking", "thinking": "", "signature": "gw1-call.gemini.x.e30"}),
            "go",
        ),
    ),
    Case(
        {},
        kit.MODEL,
        messages=(
            "hi",
            kit.assistant({"type": "server_tool_use", "id": "srvtoolu_gw1_a", "name": "web_search", "input": {}}),
            "go",
        ),
    ),
]


@pytest.mark.parametrize("spaces", [True, False])
@pytest.mark.parametrize("case", TRANSLATED)
@pytest.mark.covers("FB-128", "PF-36", "PF-140", "PF-28")
def test_what_the_model_that_answers_would_refuse_is_translated(case: Case, spaces: bool) -> None:
    body = json.loads(kit.body(*case.messages, **case.fields))
    data = json.dumps(body, separators=None if spaces else (",", ":")).encode()
    assert adapted(data, case.model, case.quirks) is None


def test_an_empty_text_in_a_tools_input_is_no_blank_block() -> None:
    call = kit.use("toolu_1", input={"text": "", "kind": "x"})
    assert adapted(kit.body("hi", kit.assistant(call), kit.user(kit.result("toolu_1")))) == Edits()


def test_a_compatible_host_gets_the_bytes_without_what_it_does_not_know() -> None:
    body = kit.body("hi", context_management={"edits": []}, metadata={"user_id": "u"}, output_config={"effort": "high"})
    edits = adapted(body, "deepseek-chat", kit.COMPATIBLE)
    assert edits is not None
    assert edits.dropped == ("context_management", "user", "reasoning_effort")
    assert set(json.loads(jsonx.splice(body, edits.top))) == {"model", "max_tokens", "messages"}


@pytest.mark.covers("FB-127")
@pytest.mark.parametrize(
    ("system", "left"),
    [
        (
            [{"type": "text", "text": "x-anthropic-billing-header: a"}, {"type": "text", "text": "b"}],
            [{"type": "text", "text": "b"}],
        ),
        ([{"type": "text", "text": "x-anthropic-billing-header: a"}], None),
        ("x-anthropic-billing-header: a", None),
    ],
)
def test_the_attribution_line_does_not_reach_other_vendors(system: object, left: object) -> None:
    body = kit.body("hi", system=system)
    edits = adapted(body, "deepseek-chat", kit.COMPATIBLE)
    assert edits is not None
    assert json.loads(jsonx.splice(body, edits.top)).get("system") == left
    assert adapted(body) == Edits()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"max_tokens":"x"}', b"<html>"])
def test_what_cannot_be_read_is_left_to_the_decoder(body: bytes) -> None:
    assert adapted(body) is None


def test_a_thread_stays_with_anthropic_and_others_say_so_as_anthropic_does() -> None:
    """Its earlier turns are nowhere else; at this code Anthropic's SDKs send all of them."""
    body = kit.body("go on", thread={"type": "continue", "previous_message_id": "msg_1"})
    assert adapted(body) == Edits()
    assert adapted(body, quirks=kit.COMPATIBLE) is None
    request = TRANSLATOR.decode_request(body, Hints())
    assert b'"thread"' in TRANSLATOR.encode_request(request, kit.target()).body
    refusal = kit.refusal(request, quirks=kit.COMPATIBLE)
    told = json.loads(TRANSLATOR.encode_error(refusal, "req_1"))["error"]
    assert told["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert adapted(kit.body("hi", thread=None), quirks=kit.COMPATIBLE) is not None
