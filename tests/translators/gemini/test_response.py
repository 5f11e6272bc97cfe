"""Whole answers, both ways: parts, finishes, usage, citations, log probabilities, nonsense."""

import json
from typing import Any

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import envelope
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import NEW, asked, plain, record, target, whole

CALL = {"functionCall": {"name": "f", "args": {"a": 1}}}
CUT = {"functionCall": {"name": "g", "args": {"a": 1}, "willContinue": True}}


def given(response: ir.Response, request: ir.Request | None = None) -> dict[str, Any]:
    return json.loads(TRANSLATOR.encode_response(response, request or asked()))


def answer(*parts: ir.Part, finish: ir.Finish | None = None, **more: Any) -> ir.Response:
    return ir.Response("r1", "m", (ir.Choice(parts, finish or ir.Finish("stop")),), **more)


@pytest.mark.covers("FB-13", "PF-101", "PF-68", "FB-14")
@pytest.mark.parametrize("word", ["STOP", "MAX_TOKENS"])
def test_calls_decide_that_an_answer_ends_with_calls(word: str) -> None:
    assert whole(record(CALL, finish=word)).choices[0].finish.reason == "tool_calls"


@pytest.mark.parametrize(
    ("parts", "calls", "reason"),
    [
        ((CUT,), 0, "length"),
        (("Let me see.", CUT), 0, "length"),
        ((CALL, CUT), 1, "length"),
        ((CALL, CALL), 2, "tool_calls"),
    ],
)
def test_a_call_that_the_token_limit_cut_off_is_left_out(parts: Any, calls: int, reason: str) -> None:
    (choice,) = whole(record(*parts, finish="MAX_TOKENS")).choices
    assert [type(part) for part in choice.parts].count(ir.ToolCall) == calls
    assert choice.finish.reason == reason


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "filtered"),
        ("PROHIBITED_CONTENT", "filtered"),
        ("BLOCKLIST", "filtered"),
        ("SPII", "filtered"),
        ("RECITATION", "filtered"),
        ("LANGUAGE", "filtered"),
        ("MODEL_ARMOR", "filtered"),
        ("IMAGE_SAFETY", "filtered"),
        ("CONTINUATION", "paused"),
        ("MALFORMED_FUNCTION_CALL", "broken"),
        ("UNEXPECTED_TOOL_CALL", "broken"),
        ("TOO_MANY_TOOL_CALLS", "broken"),
        ("MISSING_THOUGHT_SIGNATURE", "broken"),
        ("MALFORMED_RESPONSE", "broken"),
        ("OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
@pytest.mark.covers("FB-3B")
def test_every_finish_is_mapped_and_comes_back_as_it_was(word: str, reason: str) -> None:
    response = whole(record("x", finish=word))
    assert response.choices[0].finish.reason == reason
    assert given(response)["candidates"][0]["finishReason"] == word


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "STOP"),
        ("stop_sequence", "STOP"),
        ("length", "MAX_TOKENS"),
        ("context", "MAX_TOKENS"),
        ("tool_calls", "STOP"),
        ("filtered", "SAFETY"),
        ("refusal", "SAFETY"),
        ("paused", "STOP"),
        ("broken", "MALFORMED_FUNCTION_CALL"),
    ],
)
@pytest.mark.covers("FB-94")
def test_every_canonical_finish_has_a_word(reason: Any, word: str) -> None:
    assert given(answer(ir.Text("x"), finish=ir.Finish(reason)))["candidates"][0]["finishReason"] == word


@pytest.mark.covers("PF-103")
def test_a_blocked_prompt_is_filtered_with_its_reason() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    response = whole(body)
    assert response.choices[0].finish.reason == "filtered"
    assert response.choices[0].finish.detail == "PROHIBITED_CONTENT"
    back = given(response)
    assert back["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"} and "candidates" not in back


@pytest.mark.covers("PF-103")
@pytest.mark.parametrize("content", [{}, {"content": {"role": "model"}}, {"content": {}}])
def test_an_answer_cut_while_thinking_has_no_parts(content: dict[str, object]) -> None:
    response = whole({"candidates": [{"finishReason": "MAX_TOKENS", **content}]})
    assert (response.choices[0].parts, response.choices[0].finish.reason) == ((), "length")


@pytest.mark.covers("FB-1", "RC-6", "PF-102")
def test_calls_without_ids_get_ids_from_the_response() -> None:
    first = whole(record(CALL, CALL, finish="STOP"))
    second = whole(record(CALL, CALL, finish="STOP", responseId="r2"))
    ids = [part.id for r in (first, second) for part in r.choices[0].parts if isinstance(part, ir.ToolCall)]
    assert len(set(ids)) == 4
    assert first == whole(record(CALL, CALL, finish="STOP"))


def test_without_a_response_id_the_growing_prompt_tells_calls_apart() -> None:
    ids = set()
    for tokens in (10, 20):
        body = record(CALL, finish="STOP", usageMetadata={"promptTokenCount": tokens})
        del body["responseId"]
        ids.update(part.id for part in whole(body).choices[0].parts if isinstance(part, ir.ToolCall))
    assert len(ids) == 2


@pytest.mark.covers("PF-99", "PF-100")
def test_signatures_are_natives_of_their_own_parts() -> None:
    parts = [
        {"text": "hm", "thought": True},
        {"text": "a"},
        {**CALL, "thoughtSignature": "AAAA"},
        CALL,
        {"text": "", "thoughtSignature": "BBBB"},
        {"text": ""},
    ]
    response = whole(record(*parts, finish="STOP"))
    natives = [plain(part)["native"] for part in response.choices[0].parts]
    assert [native and native["data"] for native in natives] == [
        None,
        None,
        {"thoughtSignature": "AAAA"},
        None,
        {"thoughtSignature": "BBBB"},
    ]
    back = given(response, asked(thinking=ir.Thinking(show=True)))["candidates"][0]["content"]["parts"]
    assert [part.get("thoughtSignature") for part in back] == [None, None, "AAAA", None, "BBBB"]


def test_natives_of_others_ride_as_base64_envelopes() -> None:
    native = ir.Native("anthropic", Raw(b'{"signature":"s"}'), "claude")
    parts = given(answer(ir.Reasoning("hm", native), ir.Text("a")))["candidates"][0]["content"]["parts"]
    assert parts[0]["thought"] is True
    assert envelope.unseal_base64(parts[0]["thoughtSignature"]) == native


@pytest.mark.parametrize(("show", "texts"), [(True, ["hm", "a"]), (None, ["a"]), (False, ["a"])])
def test_thoughts_are_shown_to_clients_that_asked(show: bool | None, texts: list[str]) -> None:
    back = given(answer(ir.Reasoning("hm"), ir.Text("a")), asked(thinking=ir.Thinking(show=show)))
    assert [part["text"] for part in back["candidates"][0]["content"]["parts"]] == texts


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 40,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 5,
                "toolUsePromptTokenCount": 3,
                "totalTokenCount": 115,
            },
            ir.Usage(input=63, output=12, cache_read=40, reasoning=5),
        ),
        ({"promptTokenCount": 9, "totalTokenCount": 12}, ir.Usage(input=9, output=3)),
        ({"promptTokenCount": 9}, ir.Usage(input=9)),
        (
            {"promptTokenCount": 1, "cachedContentTokenCount": 5, "candidatesTokenCount": 2},
            ir.Usage(output=2, cache_read=5),
        ),
    ],
)
@pytest.mark.covers("FB-84", "FB-82", "PF-104")
def test_usage_is_counted_without_double_entries(metadata: object, usage: ir.Usage) -> None:
    assert whole(record("x", finish="STOP", usageMetadata=metadata)).usage == usage


def test_usage_for_clients_adds_up() -> None:
    usage = ir.Usage(input=10, output=12, cache_read=40, cache_write=5, reasoning=4)
    assert given(answer(ir.Text("x"), usage=usage))["usageMetadata"] == {
        "promptTokenCount": 55,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 8,
        "thoughtsTokenCount": 4,
        "totalTokenCount": 67,
    }


GROUNDING = {
    "webSearchQueries": ["q"],
    "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
    "groundingSupports": [
        {"segment": {"startIndex": 6, "endIndex": 13, "text": "déjà."}, "groundingChunkIndices": [0]}
    ],
}


@pytest.mark.covers("PF-113")
def test_grounding_counts_bytes_and_citations_count_characters() -> None:
    response = whole(record("Café: déjà.", finish="STOP", candidate={"groundingMetadata": GROUNDING}))
    text = response.choices[0].parts[0]
    assert isinstance(text, ir.Text)
    assert text.citations == (ir.Citation("https://a.example", "A", start=5, end=10),)
    assert given(response)["candidates"][0]["groundingMetadata"] == GROUNDING


def test_the_searches_are_counted() -> None:
    body = record("x", finish="STOP", candidate={"groundingMetadata": GROUNDING}, usageMetadata={"promptTokenCount": 1})
    usage = whole(body).usage
    assert usage is not None and usage.searches == 1


def test_citations_of_others_become_grounding() -> None:
    cited = ir.Text(
        "é cited", citations=(ir.Citation("https://a.example", "A", start=2, end=7), ir.Citation(title="doc"))
    )
    grounding = given(answer(ir.Text("0"), cited))["candidates"][0]["groundingMetadata"]
    assert grounding["groundingChunks"] == [{"web": {"uri": "https://a.example", "title": "A"}}]
    assert grounding["groundingSupports"] == [
        {"segment": {"startIndex": 4, "endIndex": 9}, "groundingChunkIndices": [0]}
    ]


def test_a_source_beyond_the_text_is_on_its_last_part() -> None:
    source = {"startIndex": 9, "endIndex": 12, "uri": "https://b.example"}
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    candidate = {"citationMetadata": {"citations": [source]}}
    first, _, last = whole(record("xy", image, "z", finish="STOP", candidate=candidate)).choices[0].parts
    assert isinstance(first, ir.Text) and isinstance(last, ir.Text)
    assert (first.citations, [cited.url for cited in last.citations]) == ((), ["https://b.example"])


def test_citation_sources_are_read_in_both_names() -> None:
    source = {"startIndex": 0, "endIndex": 1, "uri": "https://b.example"}
    for name in ("citations", "citationSources"):
        response = whole(record("xy", finish="STOP", candidate={"citationMetadata": {name: [source]}}))
        assert plain(response.choices[0].parts[0])["citations"][0]["url"] == "https://b.example"


def test_log_probabilities_go_both_ways() -> None:
    result = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.1}],
        "topCandidates": [
            {"candidates": [{"token": "a", "logProbability": -0.1}, {"token": "b", "logProbability": -2.0}]}
        ],
    }
    response = whole(record("a", finish="STOP", candidate={"logprobsResult": result}))
    tokens = plain(response.choices[0].logprobs)
    assert [top["token"] for top in tokens[0]["top_logprobs"]] == ["a", "b"]
    assert given(response)["candidates"][0]["logprobsResult"] == result


def test_several_candidates_are_several_choices() -> None:
    body = record("x", finish="STOP")
    body["candidates"].append({"content": {"parts": [{"text": "y"}]}, "finishReason": "MAX_TOKENS", "index": 1})
    response = whole(body)
    assert [(ir.joined(c.parts), c.finish.choice, c.finish.reason) for c in response.choices] == [
        ("x", 0, "stop"),
        ("y", 1, "length"),
    ]
    assert [c["index"] for c in given(response)["candidates"]] == [0, 1]


def test_media_and_tool_parts_of_an_answer_are_kept() -> None:
    parts = [
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
    ]
    response = whole(record(*parts, finish="STOP"))
    assert [type(part).__name__ for part in response.choices[0].parts] == ["Image", "Opaque"]
    assert given(response)["candidates"][0]["content"]["parts"] == parts


def test_refusals_and_other_owners_blocks_have_a_form_for_clients() -> None:
    native = ir.Native("anthropic", Raw(b"{}"))
    parts = (ir.Refusal("No."), ir.Opaque(native, "x", "said"), ir.Opaque(native, "y", hint=True))
    back = given(answer(*parts, finish=ir.Finish("refusal", detail="why")))["candidates"][0]
    assert back["content"]["parts"] == [{"text": "No."}, {"text": "said"}]
    assert (back["finishReason"], back["finishMessage"]) == ("SAFETY", "why")


def test_an_empty_refusal_still_gives_a_reason() -> None:
    back = given(answer(finish=ir.Finish("refusal")))["candidates"][0]
    assert back == {"finishReason": "SAFETY", "index": 0}


@pytest.mark.covers("PF-23", "FB-112", "PF-24", "PF-12")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Kind.UPSTREAM_NONSENSE),
        (b"<html>502</html>", Kind.UPSTREAM_NONSENSE),
        (b"{}", Kind.UPSTREAM_NONSENSE),
        (b"[]", Kind.UPSTREAM_NONSENSE),
        (b'{"candidates":"many"}', Kind.UPSTREAM_NONSENSE),
        (b'{"candidates":[{"content":', Kind.UPSTREAM_NONSENSE),
        (b'{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}', Kind.OVERLOADED),
        (b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]', Kind.BAD_REQUEST),
        (b'{"error":"odd"}', Kind.UPSTREAM_ERROR),
    ],
)
def test_what_is_no_answer_is_an_error(body: bytes, kind: Kind) -> None:
    with pytest.raises(MuxError) as caught:
        TRANSLATOR.decode_response(body, target())
    assert caught.value.kind is kind


def test_the_summary_holds_what_the_books_need() -> None:
    body = record(CALL, finish="STOP", usageMetadata={"promptTokenCount": 4, "candidatesTokenCount": 2})
    summary = TRANSLATOR.summary(json.dumps(body).encode())
    assert (summary.usage, summary.finish, summary.model, summary.id) == (
        ir.Usage(input=4, output=2),
        "tool_calls",
        NEW,
        "r1",
    )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error":{}}', b"<html>", b'{"candidates":7}'])
def test_the_summary_never_raises(body: bytes) -> None:
    assert TRANSLATOR.summary(body).usage is None
