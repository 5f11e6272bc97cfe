"""Every row of the translation matrix is decided, and decided as the matrix says."""

from __future__ import annotations

import json
import pathlib
import re
from functools import cache
from typing import Any

import pytest

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Target
from tests.translators.matrix_rows import ANSWERS, REQUESTS, Row
from tests.translators.outcomes import PEERS, Peer, outcome
from tests.translators.probe_table import probes

UPSTREAMS = ("openai_chat", "openai_responses", "anthropic", "gemini", "ollama", "bedrock")
VERDICTS = {"mapped": "m", "reworded": "r", "dropped": "d", "refused": "x", "emulated": "e", "left out": "o"}
TESTS = pathlib.Path(__file__).parents[1]


def _peer(format_: str, model: str) -> Peer:
    return next(peer for peer in PEERS if (peer.format, peer.title) == (format_, model))


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row.id)
def test_what_a_request_asks_is_decided_as_the_matrix_says(row: Row) -> None:
    known = {probe.feature: probe for probe in probes()}
    peers = [_peer(format_, model) for format_, model in zip(UPSTREAMS, row.models, strict=True)]
    found = {
        feature: "".join(VERDICTS[outcome(known[feature], peer).verdict] for peer in peers) for feature in row.features
    }
    assert found == row.features


@cache
def _all_tests() -> frozenset[str]:
    sources = (file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py"))
    return frozenset(name for source in sources for name in re.findall(r"def (test_\w+)\(", source))


@pytest.mark.parametrize("row", ANSWERS)
def test_what_an_answer_says_is_held_by_tests(row: str) -> None:
    assert [name for name in ANSWERS[row] if name not in _all_tests()] == []


def told(client: str, finish: ir.Finish, usage: ir.Usage | None = None, *, called: bool = False) -> Any:
    """A whole answer as a client of the format gets it."""
    call = ir.ToolCall("call_1", "f", "{}")
    parts: tuple[ir.Part, ...] = (ir.Text("Hi."), call) if called else (ir.Text("Hi."),)
    answer = ir.Response("a", "m", (ir.Choice(parts, finish),), usage or ir.Usage(), 5)
    request = ir.Request("m", (ir.Message("user", (ir.Text("x"),)),), protocol=client)
    return json.loads(registry.get(client).encode_response(answer, request))


def word(client: str, reason: ir.FinishReason) -> str:
    """The client's word for how an answer ended; of the Responses API the status and why it is not complete."""
    made = told(client, ir.Finish(reason, stop_sequence="END"), called=reason == "tool_calls")
    match client:
        case "openai_chat":
            return str(made["choices"][0]["finish_reason"])
        case "openai_responses":
            return ": ".join([made["status"], *(made["incomplete_details"] or {}).values()])
        case "anthropic":
            return str(made["stop_reason"])
        case "gemini":
            return str(made["candidates"][0]["finishReason"])
        case "ollama":
            return str(made["done_reason"])
        case _:
            return str(made["stopReason"])


LENGTH = "incomplete: max_output_tokens"
FINISHES: dict[ir.FinishReason, tuple[str, ...]] = {
    "stop": ("stop", "completed", "end_turn", "STOP", "stop", "end_turn"),
    "stop_sequence": ("stop", "completed", "stop_sequence", "STOP", "stop", "stop_sequence"),
    "length": ("length", LENGTH, "max_tokens", "MAX_TOKENS", "length", "max_tokens"),
    "context": (
        "length",
        LENGTH,
        "model_context_window_exceeded",
        "MAX_TOKENS",
        "length",
        "model_context_window_exceeded",
    ),
    "tool_calls": ("tool_calls", "completed", "tool_use", "STOP", "stop", "tool_use"),
    "filtered": ("content_filter", "incomplete: content_filter", "refusal", "SAFETY", "stop", "content_filtered"),
    "refusal": ("content_filter", "completed", "refusal", "SAFETY", "stop", "content_filtered"),
}


@pytest.mark.parametrize("reason", FINISHES)
def test_every_end_has_the_word_of_its_client(reason: ir.FinishReason) -> None:
    assert tuple(word(client, reason) for client in UPSTREAMS) == FINISHES[reason]


@pytest.mark.parametrize("client", UPSTREAMS)
def test_a_broken_call_is_an_error_for_every_client(client: str) -> None:
    try:
        made = told(client, ir.Finish("broken"))
    except MuxError as error:
        assert error.kind is Kind.UPSTREAM_NONSENSE
    else:
        words = {"openai_responses": ("failed",), "gemini": ("MALFORMED_FUNCTION_CALL",), "bedrock": ("malformed",)}
        assert any(one in json.dumps(made) for one in words[client])


ALL = ir.Usage(input=10, cache_read=20, cache_write=30, output=40, reasoning=5)
USAGES: dict[str, dict[str, Any]] = {
    "openai_chat": {"prompt_tokens": 60, "completion_tokens": 40, "total_tokens": 100},
    "openai_responses": {"input_tokens": 60, "output_tokens": 40, "total_tokens": 100},
    "anthropic": {
        "input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 30,
        "output_tokens": 40,
    },
    "gemini": {
        "promptTokenCount": 60,
        "cachedContentTokenCount": 20,
        "candidatesTokenCount": 35,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 100,
    },
    "ollama": {"prompt_eval_count": 60, "eval_count": 40},
    "bedrock": {"inputTokens": 10, "cacheReadInputTokens": 20, "cacheWriteInputTokens": 30, "outputTokens": 40},
}
INNER = {
    "openai_chat": {
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
    "openai_responses": {
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30},
        "output_tokens_details": {"reasoning_tokens": 5},
    },
    "anthropic": {"output_tokens_details": {"thinking_tokens": 5}},
}


@pytest.mark.parametrize("client", UPSTREAMS)
def test_tokens_are_counted_for_a_client_as_its_format_counts(client: str) -> None:
    made = told(client, ir.Finish("stop"), ALL)
    found = made if client == "ollama" else made.get("usage") or made.get("usageMetadata")
    assert {name: found[name] for name in USAGES[client]} == USAGES[client]
    for name, inner in INNER.get(client, {}).items():
        assert {key: found[name][key] for key in inner} == inner


@pytest.mark.parametrize("format_", UPSTREAMS)
def test_tokens_of_an_upstream_are_read_as_its_format_counts(format_: str) -> None:
    translator = registry.get(format_)
    made = json.dumps(told(format_, ir.Finish("stop"), ALL)).encode()
    usage = translator.decode_response(made, Target("m")).usage
    assert usage is not None
    details = format_ not in ("ollama",)
    assert (usage.prompt, usage.output) == (60, 40)
    assert (usage.cache_read, usage.reasoning) == ((20, None if format_ == "bedrock" else 5) if details else (0, None))


# By kind: the status for chat, Responses, Messages, Gemini, Ollama and Converse clients.
STATUSES: dict[Kind, tuple[int, ...]] = {
    Kind.BAD_REQUEST: (400, 400, 400, 400, 400, 400),
    Kind.CLIENT_AUTH: (401, 401, 401, 401, 401, 403),
    Kind.FORBIDDEN: (403, 403, 403, 403, 403, 403),
    Kind.MODEL_NOT_FOUND: (404, 404, 404, 404, 404, 404),
    Kind.TOO_LARGE: (413, 413, 413, 413, 413, 413),
    Kind.CONTEXT_LENGTH: (400, 400, 400, 400, 400, 400),
    Kind.RATE_LIMIT: (429, 429, 429, 429, 429, 429),
    Kind.QUOTA: (429, 429, 429, 429, 429, 429),
    Kind.OVERLOADED: (503, 503, 529, 503, 503, 503),
    Kind.IDLE_TIMEOUT: (504, 504, 504, 504, 504, 408),
    Kind.UPSTREAM_ERROR: (502, 502, 502, 502, 502, 424),
    Kind.UPSTREAM_AUTH: (502, 502, 502, 502, 502, 502),
    Kind.INTERNAL: (500, 500, 500, 500, 500, 500),
}


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.value)
def test_every_failure_has_the_status_of_its_client(kind: Kind) -> None:
    assert tuple(registry.get(client).error_status(MuxError(kind, "x")) for client in UPSTREAMS) == STATUSES[kind]
