"""What providers' quirks make of one and the same request: each trap on both of its sides."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.providers import registry
from llm_mux.translators import registry as translators
from llm_mux.translators.base import Target

HELLO = ir.Message("user", (ir.Text("hello"),))
TOOL = ir.Tool(name="look_up", schema=Raw(b'{"type":"object","properties":{"q":{"type":"string"}}}'))
CALL = ir.ToolCall("call_0123456789abcdef0123456789", "look_up", '{"q":"x"}')
RESULT = ir.Message("user", (ir.ToolResult(CALL.id, (ir.Text("found"), ir.Text("more"))),))
LOOP = (HELLO, ir.Message("assistant", (ir.Reasoning("I look it up."), CALL)), RESULT)


def sent(provider: str, request: ir.Request, *, model: str = "some-model", translator: str = "openai_chat") -> Any:
    """The body that goes to the provider in one of its formats."""
    found = registry.get(provider)
    endpoint = found.endpoint_for(model, translator, "generate")
    assert endpoint is not None and endpoint.translator == translator
    target = Target(model, provider, endpoint.quirks)
    return json.loads(translators.get(translator).encode_request(request, target).body)


def asked(*messages: ir.Message, **more: Any) -> ir.Request:
    return msgspec.structs.replace(ir.Request("m", messages or (HELLO,), protocol="anthropic"), **more)


@pytest.mark.covers("PF-58")
@pytest.mark.parametrize(
    ("provider", "field"),
    [
        ("openai", "max_completion_tokens"),
        ("azure", "max_completion_tokens"),
        ("groq", "max_completion_tokens"),
        ("ollama", "max_tokens"),
        ("mistral", "max_tokens"),
        ("deepseek", "max_tokens"),
        ("openai-compatible", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_server_knows(provider: str, field: str) -> None:
    body = sent(provider, asked(max_tokens=100))
    assert {"max_tokens", "max_completion_tokens"} & body.keys() == {field}


@pytest.mark.covers("PF-60")
@pytest.mark.parametrize(
    ("provider", "role"), [("openai", "developer"), ("xai", "developer"), ("groq", "system"), ("deepseek", "system")]
)
def test_only_some_servers_know_developers(provider: str, role: str) -> None:
    body = sent(provider, asked(ir.Message("developer", (ir.Text("Be brief."),)), HELLO))
    assert body["messages"][0]["role"] == role


@pytest.mark.covers("PF-61")
@pytest.mark.parametrize(
    ("provider", "absent"),
    [
        ("mistral", {"stream_options", "user", "prompt_cache_key"}),
        ("cerebras", {"parallel_tool_calls", "service_tier"}),
        ("ollama", {"parallel_tool_calls", "prompt_cache_key"}),
    ],
)
def test_fields_that_a_server_answers_400_to_are_left_out(provider: str, absent: set[str]) -> None:
    body = sent(provider, asked(stream=True, user="someone", cache_key="k", tools=(TOOL,), parallel_tool_calls=False))
    assert absent.isdisjoint(body)


@pytest.mark.covers("PF-72")
@pytest.mark.parametrize(
    ("provider", "field"), [("deepseek", "reasoning_content"), ("moonshot", "reasoning_content"), ("openai", None)]
)
def test_reasoning_returns_in_tool_loops_where_it_must(provider: str, field: str | None) -> None:
    turn = sent(provider, asked(*LOOP, tools=(TOOL,)))["messages"][1]
    assert turn.get("reasoning_content") == ("I look it up." if field else None)


@pytest.mark.covers("PF-63")
@pytest.mark.parametrize(("provider", "longest"), [("mistral", 9), ("openai", 40)])
def test_tool_call_ids_are_short_enough_and_the_same_in_call_and_result(provider: str, longest: int) -> None:
    messages = sent(provider, asked(*LOOP, tools=(TOOL,)))["messages"]
    given = messages[1]["tool_calls"][0]["id"]
    assert len(given) <= longest
    assert messages[2]["tool_call_id"] == given


@pytest.mark.covers("PF-79")
def test_ollamas_chat_layer_gets_tool_results_as_one_text() -> None:
    messages = sent("ollama", asked(*LOOP, tools=(TOOL,)))["messages"]
    assert isinstance(messages[2]["content"], str)


@pytest.mark.parametrize(
    ("provider", "model", "wanted"),
    [
        ("openai", "gpt-5.2", {"reasoning_effort": "high"}),
        ("openrouter", "m", {"reasoning": {"effort": "high"}}),
        ("deepseek", "deepseek-v4-pro", {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("zai", "glm-5", {"thinking": {"type": "enabled"}}),
        ("dashscope", "qwen3.7-plus", {"enable_thinking": True}),
        ("mistral", "mistral-small-latest", {"reasoning_effort": "high"}),
        ("mistral", "codestral-latest", {}),
        ("xai", "grok-4.6", {"reasoning_effort": "high"}),
        ("xai", "grok-build-0.1", {}),
    ],
)
def test_reasoning_is_asked_for_in_the_servers_own_words(provider: str, model: str, wanted: dict[str, Any]) -> None:
    body = sent(provider, asked(thinking=ir.Thinking(effort="high")), model=model)
    words = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "chat_template_kwargs")
    found = {word: body[word] for word in words if word in body and word != "thinking_budget"}
    assert {k: v for k, v in found.items() if k in wanted or not wanted} == wanted


@pytest.mark.parametrize("provider", ["deepseek", "moonshot", "zai", "minimax", "dashscope", "fireworks", "lmstudio"])
def test_imitations_of_messages_get_only_what_all_of_them_know(provider: str) -> None:
    request = asked(
        ir.Message("system", (ir.Text("Be brief.", cache=ir.Cache()),)),
        HELLO,
        ir.Message("assistant", (ir.Text("Yes?"),)),
        ir.Message("system", (ir.Text("Even briefer."),)),
        HELLO,
        tools=(TOOL,),
        thinking=ir.Thinking(adaptive=True),
        max_tokens=4000,
    )
    body = sent(provider, request, translator="anthropic")
    assert "cache_control" not in json.dumps(body)
    assert body.get("thinking", {}).get("type") in (None, "enabled", "disabled")
    assert all(message["role"] in ("user", "assistant") for message in body["messages"])
