"""Reasoning control: every client's own means, every server's own switch."""

from __future__ import annotations

from typing import Any

import pytest

from llm_mux import ir
from llm_mux.translators.base import Target
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat import chat

T = ir.Thinking


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, T()),
        ({"reasoning_effort": "high"}, T(effort="high")),
        ({"reasoning_effort": "none"}, T(effort="none")),
        ({"reasoning_effort": "ULTRA"}, T(effort="max")),
        ({"reasoning_effort": "auto"}, T(adaptive=True)),
        ({"reasoning_effort": None}, T()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, T(budget=2000)),
        ({"thinking": {"type": "enabled"}}, T(adaptive=True)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, T(adaptive=True, show=False)),
        ({"thinking": {"type": "disabled"}}, T(effort="none")),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, T(effort="low", adaptive=True)),
        ({"reasoning": {"effort": "low", "exclude": True}}, T(effort="low", show=False)),
        ({"reasoning": {"max_tokens": 500}}, T(budget=500)),
        ({"reasoning": {"enabled": False}}, T(effort="none")),
        ({"reasoning": {"enabled": True}}, T(adaptive=True)),
        ({"enable_thinking": False}, T(effort="none")),
        ({"enable_thinking": True}, T(adaptive=True)),
        ({"enable_thinking": True, "thinking_budget": 99}, T(budget=99)),
        ({"chat_template_kwargs": {"enable_thinking": False}}, T(effort="none")),
        ({"google": {"thinking_config": {"thinking_budget": 5, "include_thoughts": True}}}, T(budget=5, show=True)),
        ({"extra_body": {"google": {"thinkingConfig": {"thinkingLevel": "LOW"}}}}, T(effort="low")),
        ({"google": {"thinking_config": {"thinking_level": "THINKING_LEVEL_UNSPECIFIED"}}}, T()),
    ],
)
def test_every_way_of_asking_is_understood(fields: Any, wanted: ir.Thinking) -> None:
    assert chat.decode(**fields).thinking == wanted


@pytest.mark.parametrize(
    ("style", "thinking", "sent"),
    [
        ("effort", T(effort="high"), {"reasoning_effort": "high"}),
        ("effort", T(budget=20000), {"reasoning_effort": "high"}),
        ("effort", T(budget=100), {"reasoning_effort": "low"}),
        ("effort", T(adaptive=True), {}),
        ("effort", T(budget=0), {"reasoning_effort": "none"}),
        ("openrouter", T(effort="max"), {"reasoning": {"effort": "xhigh"}}),
        ("openrouter", T(budget=2000), {"reasoning": {"max_tokens": 2000}}),
        ("openrouter", T(adaptive=True, show=False), {"reasoning": {"enabled": True, "exclude": True}}),
        ("openrouter", T(effort="none"), {"reasoning": {"effort": "none"}}),
        ("openrouter", T(show=True), {}),
        ("openrouter", T(budget=0), {"reasoning": {"effort": "none"}}),
        ("thinking_type", T(effort="none"), {"thinking": {"type": "disabled"}}),
        ("thinking_type", T(effort="high"), {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("thinking_type", T(adaptive=True), {"thinking": {"type": "enabled"}}),
        ("enable_thinking", T(effort="none"), {"enable_thinking": False}),
        ("enable_thinking", T(budget=500), {"enable_thinking": True, "thinking_budget": 500}),
        ("enable_thinking", T(effort="low"), {"enable_thinking": True, "thinking_budget": 2048}),
        ("enable_thinking", T(effort="max"), {"enable_thinking": True}),
        ("template", T(effort="none"), {"chat_template_kwargs": {"enable_thinking": False}}),
        ("none", T(effort="high"), {}),
        ("effort", T(), {}),
    ],
)
def test_a_server_is_asked_in_its_own_way(style: str, thinking: ir.Thinking, sent: Any) -> None:
    body = chat.encode(chat.request(thinking=thinking), chat.target("m", openai_models=False, thinking_style=style))
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == sent


@pytest.mark.parametrize(
    ("model", "asked", "sent"),
    [
        ("gpt-5.5", "minimal", "low"),
        ("gpt-5.5", "none", "none"),
        ("gpt-5.5", "max", "xhigh"),
        ("gpt-5.6-sol", "max", "max"),
        ("gpt-5", "none", "minimal"),
        ("gpt-5", "xhigh", "high"),
        ("o3", "xhigh", "high"),
        ("o3", "none", "low"),
        ("gpt-4o", "high", None),
        ("gpt-4.1", "high", None),
        ("unknown-model", "xhigh", "xhigh"),
    ],
)
@pytest.mark.covers("FB-76")
def test_an_effort_is_the_nearest_that_the_model_takes(model: str, asked: str, sent: str | None) -> None:
    assert chat.encode(chat.request(thinking=T(effort=asked)), Target(model)).get("reasoning_effort") == sent


def test_a_switch_that_a_server_lacks_is_reported() -> None:
    request = chat.request(thinking=T(effort="high"))
    assert TRANSLATOR.encode_request(request, chat.target(thinking_style="none")).dropped == ("reasoning_effort",)
    assert TRANSLATOR.encode_request(request, Target("gpt-4o")).dropped == ("reasoning_effort",)
    words = chat.target("m", effort_words=frozenset({"low", "high"}))
    assert chat.encode(chat.request(thinking=T(effort="medium")), words)["reasoning_effort"] == "low"
