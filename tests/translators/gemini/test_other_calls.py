"""Models, embeddings, token counts, and when bytes may pass untouched."""

import json

import pytest
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators import envelope
from llm_mux.translators.base import Edits, Hints, ModelInfo
from llm_mux.translators.gemini import models
from llm_mux.translators.gemini.quirks import Quirks
from llm_mux.translators.gemini.translator import TRANSLATOR
from tests.translators.gemini.shorthand import NEW, OLD, asked, conversation, target, user

EMBED = TRANSLATOR.embedder
COUNT = TRANSLATOR.counter
assert EMBED is not None and COUNT is not None


@pytest.mark.covers("FB-142", "PF-109")
def test_the_model_list_is_read() -> None:
    listed = {
        "models": [
            {
                "name": "models/gemini-3-flash",
                "displayName": "Gemini 3 Flash",
                "description": "Fast.",
                "inputTokenLimit": 1048576,
                "outputTokenLimit": 65536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
                "thinking": True,
            },
            {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
        ],
        "publisherModels": [{"name": "publishers/google/models/gemini-2.5-pro"}],
    }
    found = TRANSLATOR.decode_models(json.dumps(listed).encode())
    assert found[0] == ModelInfo(
        "gemini-3-flash",
        "Gemini 3 Flash",
        owned_by="google",
        context=1048576,
        max_output=65536,
        capabilities=("generate", "thinking.enabled"),
        description="Fast.",
    )
    assert [model.id for model in found[1:]] == ["gemini-embedding-001", "gemini-2.5-pro"]
    assert found[1].capabilities == ("embed",)


@pytest.mark.parametrize(
    ("name", "thinking", "signatures"),
    [
        ("gemini-3-flash-preview", "level", True),
        ("publishers/google/models/gemini-3.1-pro-preview", "level", True),
        ("gemini-flash-latest", "level", True),
        ("a-name-of-tomorrow", "level", True),
        ("gemini-2.5-pro", "budget", False),
        ("gemini-2.5-flash-image", "none", False),
        ("gemini-2.0-flash", "none", False),
        ("gemini-1.5-pro", "none", False),
        ("gemma-3-27b-it", "none", False),
    ],
)
def test_models_are_told_apart_by_their_family(name: str, thinking: str, signatures: bool) -> None:
    facts = models.facts(name)
    assert (facts.thinking, facts.signatures) == (thinking, signatures)


SINGLE = {
    "model": "models/e",
    "content": {"parts": [{"text": "a"}, {"text": "b"}]},
    "taskType": "RETRIEVAL_DOCUMENT",
    "title": "T",
    "outputDimensionality": 8,
}


@pytest.mark.parametrize(
    ("body", "operation", "inputs"),
    [
        (SINGLE, "embed", ("a\nb",)),
        ({"requests": [SINGLE, {"content": {"parts": [{"text": "c"}]}}]}, "batch_embed", ("a\nb", "c")),
        (
            {
                "content": {"parts": [{"text": "a"}]},
                "embed_content_config": {"task_type": "retrieval_document", "title": "T", "output_dimensionality": 8},
            },
            "embed",
            ("a",),
        ),
    ],
)
def test_embedding_requests_go_through(body: object, operation: str, inputs: tuple[str, ...]) -> None:
    request = EMBED.decode_request(json.dumps(body).encode(), Hints(model="e", operation=operation))
    assert (request.inputs, request.task, request.title, request.dimensions) == (inputs, "RETRIEVAL_DOCUMENT", "T", 8)
    sent = json.loads(EMBED.encode_request(request, target("up")).body)["requests"]
    assert sent[0] == {
        "model": "models/up",
        "content": {"parts": [{"text": inputs[0]}]},
        "taskType": "RETRIEVAL_DOCUMENT",
        "title": "T",
        "outputDimensionality": 8,
    }
    response = ir.EmbedResponse("e", tuple((0.5, 1.0) for _ in inputs), 3)
    given = json.loads(EMBED.encode_response(response, request))
    values = {"values": [0.5, 1.0]}
    usage = {"promptTokenCount": 3, "totalTokenCount": 3}
    expected = {"embedding": values} if operation == "embed" else {"embeddings": [values] * len(inputs)}
    assert given == expected | {"usageMetadata": usage}


def test_embedding_options_are_nested_for_vertex_and_users_are_dropped() -> None:
    request = ir.EmbedRequest("e", ("a",), dimensions=4, user="u")
    made = EMBED.encode_request(request, target("e", Quirks(vertex=True)))
    assert json.loads(made.body)["requests"][0]["embedContentConfig"] == {"outputDimensionality": 4}
    assert made.dropped == ("user",)


@pytest.mark.parametrize(
    "body", [b"[", b"{}", b'{"requests":[]}', b'{"content":{"parts":[{"inlineData":{"mimeType":"a/b","data":""}}]}}']
)
def test_only_text_can_be_embedded(body: bytes) -> None:
    with pytest.raises(MuxError) as caught:
        EMBED.decode_request(body, Hints(model="e", operation="embed"))
    assert caught.value.kind is Kind.BAD_REQUEST


def test_embeddings_are_read_in_both_shapes() -> None:
    for body in (b'{"embedding":{"values":[1,2.5]}}', b'{"embeddings":[{"values":[1,2.5]}]}'):
        assert EMBED.decode_response(body, target("e")).vectors == ((1.0, 2.5),)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embeddings":[{}]}', b'{"error":{"code":500,"message":"m"}}'])
def test_no_embeddings_are_an_error(body: bytes) -> None:
    with pytest.raises(MuxError):
        EMBED.decode_response(body, target("e"))


@pytest.mark.covers("FB-140")
def test_a_count_holds_the_conversation_and_nothing_of_the_generation() -> None:
    request = conversation(
        user("Hi."),
        systemInstruction="S",
        tools=[{"functionDeclarations": [{"name": "f"}]}],
        generationConfig={"temperature": 1},
        safetySettings=[],
    )
    wrapped = json.loads(COUNT.encode_request(request, target("m")).body)["generateContentRequest"]
    assert wrapped.keys() == {"model", "contents", "systemInstruction", "tools"} and wrapped["model"] == "models/m"
    flat = json.loads(COUNT.encode_request(request, target("m", Quirks(vertex=True))).body)
    assert flat.keys() == {"contents", "systemInstruction", "tools"}


def test_counts_are_read_and_told() -> None:
    assert COUNT.decode_response(b'{"totalTokens":31,"promptTokensDetails":[]}') == 31
    assert json.loads(COUNT.encode_response(31, asked())) == {"totalTokens": 31}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error":{"code":404,"message":"m"}}'])
def test_no_count_is_an_error(body: bytes) -> None:
    with pytest.raises(MuxError):
        COUNT.decode_response(body)


SEALED = envelope.seal_base64(ir.Native("anthropic", Raw(b"{}"), "claude")).encode()


@pytest.mark.parametrize(
    ("body", "name", "quirks", "edits"),
    [
        (b'{"contents":[]}', NEW, Quirks(), Edits()),
        (b'{"contents":[{"parts":[{"thoughtSignature":"QUJD"}]}]}', NEW, Quirks(), Edits()),
        (b'{"contents":[{"parts":[{"thoughtSignature":"' + SEALED + b'"}]}]}', NEW, Quirks(), None),
        (b'{"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW"}}}', NEW, Quirks(), Edits()),
        (b'{"generationConfig":{"thinkingConfig":{"thinking_level":"LOW"}}}', OLD, Quirks(), None),
        (b'{"generationConfig":{"thinkingConfig":{"thinkingBudget":1}}}', "gemini-2.0-flash", Quirks(), None),
        (b'{"contents":[{"functionCall":{"id":"c"}}]}', NEW, Quirks(vertex=True), None),
        (b'{"contents":[],"store":true}', NEW, Quirks(vertex=True), Edits({"store": None}, ("store",))),
    ],
)
@pytest.mark.covers("FB-101", "PF-140")
def test_bytes_pass_unless_the_target_would_refuse_them(
    body: bytes, name: str, quirks: Quirks, edits: Edits | None
) -> None:
    assert TRANSLATOR.adapt(body, target(name, quirks), True) == edits
