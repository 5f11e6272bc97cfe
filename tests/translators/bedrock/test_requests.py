"""Converse requests: what each trap of the host needs, and what its model families take."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Hints, Target
from llm_mux.translators.bedrock.media import DocumentNames

BEDROCK = registry.get("bedrock")
CLAUDE = Target("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
NEWEST = Target("us.anthropic.claude-opus-5-5")
NOVA = Target("us.amazon.nova-2-lite-v1:0")
LLAMA = Target("us.meta.llama4-scout-17b-instruct-v1:0")
GPT = Target("openai.gpt-oss-120b-1:0")
WEATHER = ir.Tool("weather", "Tells the weather.", Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}'))
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()


def user(*parts: ir.Part) -> ir.Message:
    return ir.Message("user", parts or (ir.Text("hi"),))


def encoded(target: Target, *messages: ir.Message, **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = ir.Request(target.model, messages or (user(),), protocol="openai_chat", **more)
    made = BEDROCK.encode_request(request, target)
    return json.loads(made.body), made.dropped


def called(arguments: str = "{}") -> tuple[ir.Message, ...]:
    call = ir.ToolCall("call_1", "weather", arguments)
    return user(), ir.Message("assistant", (call,)), user(ir.ToolResult("call_1", (ir.Text("sunny"),)))


@pytest.mark.covers("PF-125")
def test_no_tool_choice_is_none_so_the_model_is_told_in_words() -> None:
    body, _ = encoded(CLAUDE, tools=(WEATHER,), tool_choice=ir.ToolChoice("none"))
    assert "toolChoice" not in body["toolConfig"]
    assert "without calling any tool" in body["messages"][-1]["content"][-1]["text"]


@pytest.mark.covers("PF-125")
def test_a_history_with_calls_gets_the_tools_that_it_calls() -> None:
    body, _ = encoded(CLAUDE, *called())
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["weather"]
    assert "toolChoice" not in body["toolConfig"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ir.ToolChoice("auto"), {"auto": {}}),
        (ir.ToolChoice("any"), {"any": {}}),
        (ir.ToolChoice("tool", ("weather",)), {"tool": {"name": "weather"}}),
    ],
)
def test_a_choice_has_one_member(choice: ir.ToolChoice, expected: dict[str, Any]) -> None:
    assert encoded(CLAUDE, tools=(WEATHER,), tool_choice=choice)[0]["toolConfig"]["toolChoice"] == expected


def test_a_model_that_cannot_be_forced_is_asked_in_words() -> None:
    body, dropped = encoded(LLAMA, tools=(WEATHER,), tool_choice=ir.ToolChoice("tool", ("weather",)))
    assert "tool" not in body["toolConfig"].get("toolChoice", {})
    assert "weather" in body["messages"][-1]["content"][-1]["text"]
    assert "tool_choice" in dropped


def test_one_call_at_a_time_is_said_in_claudes_own_field() -> None:
    body, dropped = encoded(CLAUDE, tools=(WEATHER,), parallel_tool_calls=False)
    assert body["additionalModelRequestFields"]["tool_choice"]["disable_parallel_tool_use"] is True
    assert dropped == ()
    assert "parallel_tool_calls" in encoded(NOVA, tools=(WEATHER,), parallel_tool_calls=False)[1]


@pytest.mark.covers("PF-126")
def test_a_tools_schema_is_an_object_and_an_outputs_schema_is_text() -> None:
    output = ir.OutputFormat("schema", "person", Raw(b'{"type":"object","properties":{}}'))
    body, _ = encoded(CLAUDE, tools=(WEATHER,), output=output)
    assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]["type"] == "object"
    schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    assert json.loads(schema)["type"] == "object"


def test_a_schema_for_a_family_without_a_place_for_it_is_put_into_words() -> None:
    output = ir.OutputFormat("schema", "person", Raw(b'{"type":"object","properties":{"age":{}}}'))
    body, dropped = encoded(LLAMA, output=output)
    assert "outputConfig" not in body
    assert '"age"' in body["system"][-1]["text"]
    assert dropped == ("response_format",)


@pytest.mark.covers("PF-127")
def test_document_names_are_legal_and_each_is_there_once() -> None:
    documents = [
        ir.Document(ir.Inline("application/pdf", PDF), name=n) for n in ("a.b.pdf", "größe!.pdf", None, "a.b.pdf")
    ]
    body, _ = encoded(CLAUDE, user(*documents, ir.Text("read")))
    names = [block["document"]["name"] for block in body["messages"][0]["content"] if "document" in block]
    assert names == ["a b", "gr e", "document", "a b 2"]


@pytest.mark.covers("PF-127")
def test_more_documents_than_the_host_takes_are_refused() -> None:
    documents = [ir.Document(ir.Inline("application/pdf", PDF))] * 6
    with pytest.raises(MuxError, match="More than 5 documents") as refused:
        encoded(CLAUDE, user(*documents))
    assert refused.value.http_status == 400


def test_a_document_never_stands_without_a_text() -> None:
    body, _ = encoded(CLAUDE, user(ir.Document(ir.Inline("application/pdf", PDF))))
    assert [next(iter(block)) for block in body["messages"][0]["content"]] == ["text", "document"]


@pytest.mark.covers("PF-128")
def test_bytes_are_base64_once_in_both_directions() -> None:
    body, _ = encoded(CLAUDE, user(ir.Text("read"), ir.Document(ir.Inline("application/pdf", PDF))))
    assert body["messages"][0]["content"][1]["document"]["source"]["bytes"] == PDF
    request = BEDROCK.decode_request(json.dumps(body).encode(), Hints(model="m"))
    document = request.messages[0].parts[1]
    assert isinstance(document, ir.Document)
    assert document.source == ir.Inline("application/pdf", PDF)


@pytest.mark.covers("PF-129")
def test_temperature_is_at_most_one_and_never_beside_top_p() -> None:
    body, dropped = encoded(CLAUDE, sampling=ir.Sampling(temperature=1.7, top_p=0.5))
    assert body["inferenceConfig"]["temperature"] == 1.0
    assert "topP" not in body["inferenceConfig"]
    assert dropped == ("top_p",)


def test_models_without_sampling_get_none() -> None:
    body, dropped = encoded(NEWEST, sampling=ir.Sampling(temperature=0.2, top_k=5))
    assert "temperature" not in body["inferenceConfig"]
    assert set(dropped) == {"temperature", "top_k"}


def test_top_k_goes_where_the_family_looks_for_it() -> None:
    assert encoded(CLAUDE, sampling=ir.Sampling(top_k=5))[0]["additionalModelRequestFields"] == {"top_k": 5}
    assert encoded(NOVA, sampling=ir.Sampling(top_k=5))[0]["additionalModelRequestFields"] == {
        "inferenceConfig": {"topK": 5}
    }
    assert encoded(LLAMA, sampling=ir.Sampling(top_k=5))[1] == ("top_k",)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (NEWEST, {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}),
        (CLAUDE, {"thinking": {"type": "enabled", "budget_tokens": 16384}}),
        (GPT, {"reasoning_effort": "high"}),
        (NOVA, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
    ],
)
def test_every_family_is_told_how_deep_to_think_in_its_own_field(target: Target, field: dict[str, Any]) -> None:
    assert encoded(target, thinking=ir.Thinking(effort="high"))[0]["additionalModelRequestFields"] == field


def test_a_family_that_cannot_be_told_says_so() -> None:
    assert encoded(LLAMA, thinking=ir.Thinking(effort="high"))[1] == ("reasoning_effort",)


def test_cache_points_follow_what_is_marked_and_only_four_are_left() -> None:
    marked = [ir.Text(f"part {n}", cache=ir.Cache("1h" if n == 0 else None)) for n in range(6)]
    body, _ = encoded(CLAUDE, ir.Message("system", (ir.Text("rules", cache=ir.Cache()),)), user(*marked))
    blocks = body["messages"][0]["content"]
    points = [n for n, block in enumerate(blocks) if "cachePoint" in block]
    assert len(points) == 4
    assert not any("cachePoint" in block for block in body["system"]), "the earliest go first"
    assert blocks[points[-1] - 1]["text"] == "part 5"
    plain, _ = encoded(LLAMA, user(*marked))
    assert not any("cachePoint" in block for block in plain["messages"][0]["content"])


def test_an_empty_result_says_so_and_a_failed_one_too() -> None:
    turns = [user(), ir.Message("assistant", (ir.ToolCall("c", "weather", ""),))]
    body, _ = encoded(CLAUDE, *turns, user(ir.ToolResult("c", (), is_error=True)))
    assert body["messages"][-1]["content"][0]["toolResult"] == {
        "toolUseId": "c",
        "content": [{"text": "(no output)"}],
        "status": "error",
    }


@pytest.mark.parametrize(
    ("source", "said"),
    [(ir.Url("https://example.com/a.png"), "neither in the request nor in S3"), (ir.FileId("openai", "f"), "neither")],
)
def test_media_elsewhere_are_refused(source: ir.Source, said: str) -> None:
    with pytest.raises(MuxError, match=said):
        encoded(CLAUDE, user(ir.Image(source)))


def test_media_in_s3_stay_there() -> None:
    body, _ = encoded(CLAUDE, user(ir.Image(ir.Url("s3://bucket/a.jpg"))))
    assert body["messages"][0]["content"][0]["image"] == {
        "format": "jpeg",
        "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}},
    }


def test_a_model_without_a_system_slot_reads_it_first() -> None:
    body, _ = encoded(Target("mistral.mistral-7b-instruct-v0:2"), ir.Message("system", (ir.Text("Be brief."),)), user())
    assert "system" not in body
    assert [block["text"] for block in body["messages"][0]["content"]] == ["Be brief.", "hi"]


def test_a_thought_goes_back_only_with_its_own_seal() -> None:
    ours = ir.Reasoning("mine", ir.Native("anthropic", Raw(b'"sig"'), "claude"))
    foreign = ir.Reasoning("other", ir.Native("gemini", Raw(b'"sig"'), "gemini"))
    turns = (user(), ir.Message("assistant", (ours, foreign, ir.Text("so"))), user())
    body, _ = encoded(CLAUDE, *turns)
    thoughts = [block for block in body["messages"][1]["content"] if "reasoningContent" in block]
    assert thoughts == [{"reasoningContent": {"reasoningText": {"text": "mine", "signature": "sig"}}}]
    assert "reasoningContent" not in json.dumps(encoded(LLAMA, *turns)[0])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "messages"),
        (b'{"messages":[]}', "messages"),
        (b'{"messages":[{"role":"judge","content":[]}]}', "messages.0.role"),
        (b'{"messages":[{"role":"user","content":[{}]}]}', "messages.0.content.0"),
        (b'{"messages":[{"role":"user","content":[{"text":7}]}]}', "messages.0.content.0"),
        (
            b'{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":"x"}}',
            "inferenceConfig",
        ),
    ],
)
def test_wrong_requests_are_told_where(body: bytes, field: str | None) -> None:
    with pytest.raises(MuxError) as wrong:
        BEDROCK.decode_request(body, Hints(model="m"))
    assert wrong.value.kind is Kind.BAD_REQUEST
    assert wrong.value.param == field


def test_fields_of_this_format_come_back_to_it() -> None:
    sent = {
        "messages": [{"role": "user", "content": [{"text": "hi"}, {"guardContent": {"text": {"text": "x"}}}]}],
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
        "requestMetadata": {"team": "blue"},
        "additionalModelRequestFields": {"anthropic_beta": ["x"]},
        "serviceTier": {"type": "flex"},
    }
    request = BEDROCK.decode_request(json.dumps(sent).encode(), Hints(model=CLAUDE.model))
    back = json.loads(BEDROCK.encode_request(request, CLAUDE).body)
    for name, value in sent.items():
        assert back[name] == value, name


def test_fields_of_this_format_are_reported_where_they_are_lost() -> None:
    sent = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "guardrailConfig": {}, "promptVariables": {}}
    request = BEDROCK.decode_request(json.dumps(sent).encode(), Hints(model="m"))
    made = registry.get("openai_chat").encode_request(request, Target("gpt-5.5"))
    assert {"guardrailConfig", "promptVariables"} <= set(made.dropped)


def test_names_stay_the_same_for_the_same_request() -> None:
    assert [DocumentNames().legal(name) for name in ("x" * 300, "  ", "a/b/c.txt")] == ["x" * 195, "document", "c"]
