"""The facts of model families, and providers' model lists."""

from __future__ import annotations

import json

import pytest

from llm_mux.errors import MuxError
from llm_mux.translators.anthropic.models import Facts, facts
from llm_mux.translators.anthropic.translator import TRANSLATOR


@pytest.mark.parametrize(
    "spellings",
    [
        (
            "claude-opus-4-5",
            "claude-opus-4-5-20251101",
            "us.anthropic.claude-opus-4-5-20251101-v1:0",
            "claude-opus-4.5",
        ),
        ("claude-sonnet-4-0", "claude-sonnet-4-20250514", "claude-sonnet-4@20250514", "anthropic/claude-sonnet-4"),
        ("claude-3-5-sonnet", "claude-3-5-sonnet-20241022", "claude-3.5-sonnet"),
        ("claude-opus-5-5", "claude-opus-5.5", "anthropic.claude-opus-5-5"),
    ],
)
def test_a_model_has_the_same_facts_in_every_spelling(spellings: tuple[str, ...]) -> None:
    assert len({repr(facts(name)) for name in spellings}) == 1


def types(model: str) -> set[str]:
    return set(facts(model).thinking)


@pytest.mark.covers("PF-36", "PF-40", "PF-43")
def test_the_families_differ_as_the_table_says() -> None:
    assert types("claude-sonnet-4-5") == {"enabled", "disabled"}
    assert types("claude-opus-4-6") == {"enabled", "adaptive", "disabled"}
    assert types("claude-opus-4-8") == types("claude-sonnet-5") == {"adaptive", "disabled"}
    assert types("claude-fable-5") == types("claude-opus-5-5") == types("claude-haiku-5-5") == {"adaptive"}
    assert types("claude-sonnet-5-5") == {"adaptive", "between_tools"}
    assert types("claude-3-haiku-20240307") == {"disabled"}
    assert [facts(m).forced for m in ("claude-fable-5", "claude-fable-5-1", "claude-opus-5-5")] == [True, False, False]
    assert [facts(m).prefill for m in ("claude-opus-4-5", "claude-opus-4-6")] == [True, False]
    assert [facts(m).system_in_messages for m in ("claude-opus-4-7", "claude-opus-4-8")] == [False, True]
    assert [facts(m).thinks for m in ("claude-opus-4-8", "claude-opus-5")] == [False, True]
    assert [facts(m).prefix_check for m in ("claude-opus-5", "claude-opus-5-5")] == [False, True]
    assert [facts(m).structured for m in ("claude-opus-4-1", "claude-haiku-4-5")] == [False, True]


def test_a_claude_of_next_year_is_treated_like_the_newest() -> None:
    for name in ("claude-saga-6", "claude-mythos-preview", "claude-opus-12-3"):
        assert types(name) == {"adaptive"}
        assert facts(name).sampling == "none"


def test_a_model_of_another_vendor_has_none_of_claudes_rules() -> None:
    assert facts("deepseek-chat") == facts("kimi-k2") == Facts()


def test_what_the_list_says_wins_over_the_table() -> None:
    found = facts("claude-haiku-5-5", ["tools", "thinking.enabled", "thinking.adaptive", "effort.low", "structured"])
    assert found.thinking == {"enabled", "adaptive"}
    assert found.efforts == {"low"}
    assert found.structured
    assert facts("claude-haiku-5-5", ["tools"]) == facts("claude-haiku-5-5")


def test_the_apis_list_is_read_with_limits_and_capabilities() -> None:
    yes, no = {"supported": True}, {"supported": False}
    item = {
        "type": "model",
        "id": "claude-opus-5-5",
        "display_name": "Claude Opus 5.5",
        "created_at": "2026-09-01T00:00:00Z",
        "max_input_tokens": 1000000,
        "max_tokens": 128000,
        "lifecycle": "active",
        "capabilities": {
            "batch": yes,
            "image_input": yes,
            "pdf_input": no,
            "structured_outputs": yes,
            "effort": {"supported": True, "low": yes, "max": no},
            "thinking": {"supported": True, "types": {"adaptive": yes, "enabled": no}},
        },
    }
    (found,) = TRANSLATOR.decode_models(json.dumps({"data": [item], "has_more": False}).encode())
    assert (found.id, found.display_name, found.created) == ("claude-opus-5-5", "Claude Opus 5.5", 1788220800)
    assert (found.context, found.max_output, found.owned_by) == (1000000, 128000, "anthropic")
    assert found.capabilities == ("tools", "vision", "structured", "thinking.adaptive", "effort.low")


@pytest.mark.covers("FB-142")
def test_a_list_in_openais_shape_is_read_too() -> None:
    body = b'{"object":"list","data":[{"id":"deepseek-chat","object":"model","created":1,"owned_by":"deepseek"}]}'
    (found,) = TRANSLATOR.decode_models(body)
    assert (found.id, found.created, found.owned_by, found.capabilities) == ("deepseek-chat", 1, "deepseek", ())


def test_a_date_without_a_zone_or_a_bad_one_is_no_trouble() -> None:
    body = b'{"data":[{"id":"a","created_at":"2026-09-01T00:00:00"},{"id":"b","created_at":"soon"}]}'
    assert [found.created for found in TRANSLATOR.decode_models(body)] == [1788220800, None]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"data":[{}]}'])
def test_what_is_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(MuxError):
        TRANSLATOR.decode_models(body)
