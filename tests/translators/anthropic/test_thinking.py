"""What a client asks about thinking, by the means of each model family."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from llm_mux import ir
from llm_mux.translators.anthropic.quirks import Quirks
from tests.translators.anthropic import kit

ADAPTIVE = {"type": "adaptive", "display": "summarized"}


@dataclass(frozen=True)
class Case:
    """A wish for one model and what is sent: `thinking`, the effort word, `max_tokens` (None: the given one)."""

    model: str
    asked: ir.Thinking
    thinking: dict[str, object] | None
    effort: str | None = None
    max_tokens: int | None = None
    dropped: tuple[str, ...] = ()
    given: int = 10_000
    quirks: Quirks | None = field(default=None, repr=False)


def effort(word: str) -> ir.Thinking:
    return ir.Thinking(effort=word)


CASES = [
    Case("claude-opus-5", ir.Thinking(), None),
    Case("claude-opus-5", effort("high"), ADAPTIVE, "high"),
    Case("claude-opus-5", effort("xhigh"), ADAPTIVE, "xhigh"),
    Case("claude-opus-5", effort("minimal"), ADAPTIVE, "low"),
    Case("claude-opus-4-6", effort("xhigh"), ADAPTIVE, "high"),
    Case("claude-opus-4-6", effort("max"), ADAPTIVE, "max"),
    Case("claude-opus-4-7", ir.Thinking(budget=5000), ADAPTIVE, "medium"),
    Case("claude-opus-4-7", ir.Thinking(budget=-1), ADAPTIVE),
    Case("claude-opus-4-7", ir.Thinking(effort="low", show=False), {"type": "adaptive", "display": "omitted"}, "low"),
    Case("claude-opus-5", ir.Thinking(show=True), ADAPTIVE),
    Case("claude-opus-4-7", ir.Thinking(show=True), None),
    Case("claude-opus-4-7", effort("none"), None),
    Case("claude-opus-5", effort("none"), {"type": "disabled"}),
    Case("claude-sonnet-5-5", effort("none"), {"type": "between_tools"}),
    Case("claude-opus-5-5", effort("none"), None, "low", dropped=("reasoning_effort",)),
    Case("claude-fable-5", ir.Thinking(budget=0), None, "low", dropped=("reasoning_effort",)),
    Case("claude-sonnet-4-5", effort("minimal"), {"type": "enabled", "budget_tokens": 1024}),
    Case("claude-sonnet-4-5", effort("low"), {"type": "enabled", "budget_tokens": 2048}),
    Case("claude-sonnet-4-5", effort("medium"), {"type": "enabled", "budget_tokens": 8192}),
    Case("claude-sonnet-4-5", effort("high"), {"type": "enabled", "budget_tokens": 16384}, max_tokens=26384),
    Case("claude-sonnet-4-5", effort("max"), {"type": "enabled", "budget_tokens": 59904}, max_tokens=64000),
    Case("claude-sonnet-4-5", ir.Thinking(budget=500), {"type": "enabled", "budget_tokens": 1024}),
    Case(
        "claude-sonnet-4-5", ir.Thinking(budget=999_999), {"type": "enabled", "budget_tokens": 63999}, max_tokens=64000
    ),
    Case("claude-sonnet-4-5", ir.Thinking(adaptive=True), {"type": "enabled", "budget_tokens": 8192}),
    Case("claude-sonnet-4-5", effort("none"), None),
    Case("claude-3-5-haiku-20241022", effort("high"), None, dropped=("reasoning_effort",), max_tokens=8192),
    Case("claude-3-5-haiku-20241022", effort("none"), None, max_tokens=8192),
    Case("deepseek-chat", effort("low"), {"type": "enabled", "budget_tokens": 2048}, quirks=kit.COMPATIBLE),
    Case("deepseek-chat", effort("none"), {"type": "disabled"}, quirks=kit.COMPATIBLE),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.covers("FB-71", "FB-72", "PF-36", "PF-37")
def test_thinking_is_asked_for_as_the_model_takes_it(case: Case) -> None:
    encoded = kit.encoded(kit.asked("hi", thinking=case.asked, max_tokens=case.given), case.model, case.quirks)
    body = json.loads(encoded.body)
    assert body.get("thinking") == case.thinking
    assert body.get("output_config", {}).get("effort") == case.effort
    assert body["max_tokens"] == (case.max_tokens or case.given)
    assert encoded.dropped == case.dropped


@dataclass(frozen=True)
class Own:
    """What a client of this format says about thinking, for one model, and what is sent."""

    model: str
    given: dict[str, object]
    sent: dict[str, object]
    dropped: tuple[str, ...] = ()


OWN = [
    Own(
        "claude-opus-5",
        {"thinking": {"type": "adaptive", "display": "updates"}},
        {"thinking": {"type": "adaptive", "display": "updates"}},
    ),
    Own(
        "claude-opus-5",
        {"thinking": {"type": "adaptive", "block_binding": {"x": "y"}}, "output_config": {"effort": "max"}},
        {"thinking": {"type": "adaptive", "block_binding": {"x": "y"}}, "output_config": {"effort": "max"}},
    ),
    Own(
        "claude-opus-4-6",
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    ),
    Own(
        "claude-opus-5",
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
    ),
    Own(
        "claude-haiku-4-5",
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}},
        {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}},
    ),
    Own(
        "claude-opus-5-5",
        {"thinking": {"type": "disabled"}},
        {"output_config": {"effort": "low"}},
        ("reasoning_effort",),
    ),
    Own("claude-sonnet-5-5", {"thinking": {"type": "disabled"}}, {"thinking": {"type": "between_tools"}}),
    Own(
        "claude-opus-5",
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
    ),
    Own("claude-opus-4-7", {"output_config": {"effort": "low"}}, {"output_config": {"effort": "low"}}),
    Own("claude-haiku-4-5", {"output_config": {"effort": "low"}}, {}, ("reasoning_effort",)),
    Own("claude-haiku-4-5", {}, {}),
]


@pytest.mark.parametrize("case", OWN)
@pytest.mark.covers("PF-36")
def test_a_client_of_this_format_gets_its_own_words_through_where_the_model_takes_them(case: Own) -> None:
    encoded = kit.encoded(kit.decoded("hi", **{**case.given, "max_tokens": 10_000}), case.model)
    body = json.loads(encoded.body)
    assert {key: body[key] for key in ("thinking", "output_config") if key in body} == case.sent
    assert encoded.dropped == case.dropped


def test_a_wish_that_was_changed_on_the_way_wins_over_the_clients_words() -> None:
    request = kit.decoded("hi", thinking={"type": "adaptive"}, output_config={"effort": "low"})
    changed = ir.Thinking(effort="high", adaptive=True, native=request.thinking.native)
    body = kit.sent(kit.decoded("hi"), kit.MODEL) | kit.sent(_with(request, changed))
    assert body["output_config"] == {"effort": "high"}


def _with(request: ir.Request, thinking: ir.Thinking) -> ir.Request:
    return ir.Request(request.model, request.messages, request.protocol, thinking=thinking)


@pytest.mark.parametrize("choice", [ir.ToolChoice("any"), ir.ToolChoice("tool", ("look",))])
@pytest.mark.covers("FB-70", "PF-40")
def test_a_forced_call_wins_over_manual_thinking(choice: ir.ToolChoice) -> None:
    request = kit.asked("hi", tools=(kit.tool(),), tool_choice=choice, thinking=effort("high"), max_tokens=30_000)
    encoded = kit.encoded(request, kit.OLD)
    body = json.loads(encoded.body)
    assert "thinking" not in body
    assert body["tool_choice"]["type"] == choice.mode
    assert encoded.dropped == ("reasoning_effort",)
    assert json.loads(kit.encoded(request, kit.MODEL).body)["thinking"] == ADAPTIVE


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


@pytest.mark.covers("FB-69")
def test_thoughts_are_stripped_from_a_history_when_thinking_is_off() -> None:
    request = kit.decoded("hi", kit.assistant(THOUGHT, "answer"), "go", thinking={"type": "disabled"})
    assert "signature" not in json.dumps(kit.sent(request, kit.OLD))
    on = kit.decoded("hi", kit.assistant(THOUGHT, "answer"), "go", thinking={"type": "adaptive"})
    assert kit.sent(on)["messages"][1] == kit.assistant(THOUGHT, "answer")


@pytest.mark.covers("FB-69")
def test_manual_thinking_stops_in_a_tool_loop_whose_thoughts_are_lost() -> None:
    call, result = ir.ToolCall("toolu_1", "look", "{}"), ir.ToolResult("toolu_1", (ir.Text("seen"),))
    foreign = ir.Reasoning("hm", kit.native("x", "gemini"))
    loop = (kit.answered(foreign, call), kit.said(result))
    encoded = kit.encoded(kit.asked("hi", *loop, tools=(kit.tool(),), thinking=effort("low")), kit.OLD)
    assert "thinking" not in json.loads(encoded.body)
    assert encoded.dropped == ("reasoning_effort",)
    over = (*loop, kit.answered("done"), "and now?")
    assert "thinking" in kit.sent(kit.asked("hi", *over, tools=(kit.tool(),), thinking=effort("low")), kit.OLD)
    adaptive = kit.sent(kit.asked("hi", *loop, tools=(kit.tool(),), thinking=effort("low")))
    assert adaptive["thinking"] == ADAPTIVE


@pytest.mark.covers("PF-41", "PF-53")
def test_other_clients_thoughts_that_no_longer_fit_are_dropped_and_not_a_400() -> None:
    thought = ir.Reasoning("hm", kit.native("c2ln", family="claude"))
    request = kit.asked("hi", kit.answered(thought, "answer"), "go")
    encoded = kit.encoded(request, "claude-opus-5-5")
    config = json.loads(encoded.body)["thinking"]
    assert config == {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    assert encoded.headers == {"anthropic-beta": "thinking-binding-controls-2026-08-01"}
    for other in (kit.encoded(request), kit.encoded(request, "claude-opus-5-5", Quirks(binding_controls=False))):
        assert other.headers == {}
        assert "thinking" not in json.loads(other.body)
