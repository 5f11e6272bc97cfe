"""What models do in this format, and the model lists of every server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import ModelInfo, Target
from llm_mux.translators.openai_chat import models
from llm_mux.translators.openai_chat.translator import TRANSLATOR
from tests.translators.openai_chat.chat import events


@pytest.mark.parametrize(
    ("model", "chain"),
    [
        ("deepseek-reasoner", True),
        ("qwen3", True),
        ("gpt-oss-120b", True),
        ("gpt-5.5", False),
        ("anthropic/claude-x", False),
    ],
)
def test_reasoning_of_open_weight_models_is_the_chain_itself(model: str, chain: bool) -> None:
    body = json.dumps({"choices": [{"message": {"reasoning": "hm"}, "finish_reason": "stop"}]}).encode()
    (part,) = TRANSLATOR.decode_response(body, Target(model)).choices[0].parts
    assert isinstance(part, ir.Reasoning) and part.raw is chain
    found = [e.part for e in events(body, to=Target(model)) if isinstance(e, ir.PartStart)]
    assert isinstance(found[0], ir.Reasoning) and found[0].raw is chain


@pytest.mark.parametrize(
    ("model", "body", "prefers"),
    [
        ("gpt-5.6-sol", {"tools": [{}]}, True),
        ("gpt-6-luna", {"tools": [{}], "reasoning_effort": "high"}, True),
        ("gpt-5.6-sol", {"functions": [{}]}, True),
        ("gpt-5.6-sol", {"tools": [{}], "reasoning_effort": "none"}, False),
        ("gpt-5.6-sol", {"tools": []}, False),
        ("gpt-5.6-sol", {}, False),
        ("gpt-5.5", {"tools": [{}]}, False),
        ("claude-x", {"tools": [{}]}, False),
    ],
)
@pytest.mark.covers("PF-73")
def test_tools_with_reasoning_go_to_the_responses_endpoint(model: str, body: Any, prefers: bool) -> None:
    assert models.prefers_responses(json.dumps(body).encode(), model) is prefers


def test_an_unreadable_body_prefers_nothing() -> None:
    assert models.prefers_responses(b"{", "gpt-5.6-sol") is False


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param({"object": "list", "data": [{"id": "a", "object": "model", "created": 7, "owned_by": "o"}]},
                     [ModelInfo("a", created=7, owned_by="o")], id="OpenAI"),
        pytest.param([{"id": "a", "display_name": "A", "context_length": 5}], [ModelInfo("a", "A", context=5)], id="Together"),
        pytest.param({"data": [{"id": "a/b", "name": "B", "context_length": 9, "top_provider": {"max_completion_tokens": 4},
                                "architecture": {"input_modalities": ["text", "image"]}, "supported_parameters": ["tools", "reasoning"]}]},
                     [ModelInfo("a/b", "B", context=9, max_output=4, capabilities=("vision", "tools", "thinking"))], id="OpenRouter"),
        pytest.param({"data": [{"id": "a", "max_context_length": 5, "capabilities": {"vision": True, "function_calling": True, "x": True}}]},
                     [ModelInfo("a", context=5, capabilities=("vision", "tools"))], id="Mistral"),
        pytest.param({"data": [{"id": "a", "capabilities": ["tool_use"]}]}, [ModelInfo("a", capabilities=("tools",))], id="LM Studio"),
        pytest.param({"data": [{"id": "a", "context_window": 5, "max_completion_tokens": 3}]}, [ModelInfo("a", context=5, max_output=3)], id="Groq"),
        pytest.param({"data": [{"id": "a", "max_model_len": 5}]}, [ModelInfo("a", context=5)], id="vLLM"),
        pytest.param({"data": [{"id": "a", "created": "yesterday"}, {"name": "no id"}, 5]}, [ModelInfo("a")], id="odd entries"),
        pytest.param({"models": [{"id": "a"}]}, [ModelInfo("a")], id="models"),
        pytest.param({"data": []}, [], id="empty"),
    ],
)  # fmt: skip
def test_a_model_list_is_read_in_every_shape(body: Any, wanted: list[ModelInfo]) -> None:
    assert TRANSLATOR.decode_models(json.dumps(body).encode()) == wanted


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"data": 5}', b'"x"'])
def test_what_is_no_model_list_is_an_error(body: bytes) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_models(body)
    assert caught.value.kind is Kind.UPSTREAM_NONSENSE
