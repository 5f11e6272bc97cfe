"""What both of OpenAI's formats hold OpenAI's models to."""

from __future__ import annotations

import pytest

from llm_mux import ir
from llm_mux.translators import openai_models
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.registry import get

NEWEST = ("none", "low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("model", "version", "reasons", "breakpoints"),
    [
        ("gpt-5.6-sol", (5, 6), True, True),
        ("openai/gpt-5.6-sol", (5, 6), True, True),
        ("gpt-5", (5, 0), True, False),
        ("GPT-5", (5, 0), True, False),
        ("openai/gpt-6-astra", (6, 0), True, True),
        ("gpt-5-chat-latest", (5, 0), False, False),
        ("gpt-5.4-mini-2026-01-01", (5, 4), True, False),
        ("gpt-4.1", (4, 1), False, False),
        ("gpt-4o", None, False, False),
        ("gpt-35-turbo", None, False, False),
        ("gpt-oss-120b", None, False, False),
        ("o3", None, True, False),
        ("o4-mini", None, True, False),
        ("openai/o3-pro", None, True, False),
        ("llama-4", None, False, False),
        ("foo3", None, False, False),
    ],
)
def test_a_model_is_known_by_its_name(
    model: str, version: tuple[int, int] | None, reasons: bool, breakpoints: bool
) -> None:
    found = openai_models.facts(model)
    assert (openai_models.version(model), found.reasons, found.breakpoints) == (version, reasons, breakpoints)


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        ("gpt-4o", ()),
        ("gpt-35-turbo", ()),
        ("gpt-5-chat-latest", ()),
        ("o3-mini", ("low", "medium", "high")),
        ("gpt-5", ("minimal", "low", "medium", "high")),
        ("gpt-5-codex", ("low", "medium", "high")),
        ("gpt-5.1", ("none", "low", "medium", "high")),
        ("gpt-5.1-codex", ("low", "medium", "high", "xhigh")),
        ("gpt-5.5", ("none", "low", "medium", "high", "xhigh")),
        ("gpt-5.6", NEWEST),
        ("gpt-6-sol", NEWEST),
        ("gpt-oss-120b", ir.EFFORTS),
        ("grok-4", ir.EFFORTS),
    ],
)
def test_efforts_are_those_of_the_family(model: str, efforts: tuple[str, ...]) -> None:
    assert openai_models.facts(model).efforts == efforts


@pytest.mark.parametrize(
    ("model", "effort", "samples"),
    [
        ("gpt-4.1", None, True),
        ("grok-4", "high", True),
        ("o3", None, False),
        ("gpt-5", "none", False),
        ("gpt-5.6", None, False),
        ("gpt-5.6", "low", False),
        ("gpt-5.6", "none", True),
    ],
)
@pytest.mark.parametrize("format_", ["openai_chat", "openai_responses"])
def test_a_model_that_reasons_takes_no_sampling(model: str, effort: str | None, samples: bool, format_: str) -> None:
    request = ir.Request(
        model,
        (ir.Message("user", (ir.Text("Hi."),)),),
        protocol="gemini",
        sampling=ir.Sampling(temperature=0.5, top_p=0.9),
        thinking=ir.Thinking(effort=effort),
    )
    made = get(format_).encode_request(request, Target(model))
    assert [name for name in made.dropped if name in ("temperature", "top_p")] == (
        [] if samples else ["temperature", "top_p"]
    )
    assert (b'"temperature":0.5' in made.body) is samples


@pytest.mark.parametrize("word", ir.EFFORTS)
@pytest.mark.parametrize("model", ["gpt-5", "gpt-5.1", "gpt-5.5", "gpt-5.6", "o3"])
def test_both_formats_ask_a_model_for_the_same_effort(model: str, word: str) -> None:
    request = ir.Request(
        model, (ir.Message("user", (ir.Text("Hi."),)),), protocol="gemini", thinking=ir.Thinking(effort=word)
    )
    chat, responses = (
        get(name).decode_request(get(name).encode_request(request, Target(model)).body, _hints())
        for name in ("openai_chat", "openai_responses")
    )
    assert chat.thinking.effort == responses.thinking.effort


def _hints() -> Hints:
    return Hints(model="m", stream=False)
