"""No field of an official SDK's answers is lost in silence, on the way from any upstream to any client.

Every field of every type of the installed SDKs is tried, whole and in a stream: a client is told of it, or it is listed
here with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway.fold import Fold
from llm_mux.translators import registry
from llm_mux.translators.base import Target
from tests.translators.sdk_answers import ANSWERS, Answers
from tests.translators.sdk_bodies import Pair, undecided

CLIENTS = ("openai_chat", "openai_responses", "anthropic", "gemini", "ollama", "bedrock")
MODELS = {
    "openai_chat": "gpt-4.1",
    "openai_responses": "gpt-5.6",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-flash",
    "ollama": "qwen3",
}

SERVICE = "what the vendor says of its own service, which is not in between"
PLACES = "told where the client's format has a place for it"
SPLIT = "how the vendor splits its tokens beyond what the client's format counts"
CALLERS = "which of the vendor's programs called, and how its tool was loaded"
SERVERS = "what the vendor's own tools did; what came of it is in the answer's text"
ANYWAY = "what it says holds anyway"
EMPTY = "an object without anything in it says nothing"
ECHO = "what was asked is known to who asked"
OF_REQUESTS = "of requests only"
LABEL = "a name for eyes only"
SPACES = "only its own clients declare tools in namespaces"
ITEM = "the client's own says how far it is, and a thought's summary stands for the whole"
PIECES = "the whole comes again, or came, in another record"
NOISE = "there against listeners alone"

_CHAT = {
    r"logprobs|annotations\[\]|audio<|_tokens_details<\w+>\.(cache|cached|reasoning)": PLACES,
    r"^metadata$|^moderation|^service_tier|^system_fingerprint$": SERVICE,
    r"_tokens_details": SPLIT,
}
_CLAUDE = {
    r"container<|diagnostics|service_tier|inference_geo|\.speed=": SERVICE,
    r"citations|redacted_thinking|<thinking>|stop_reason=(stop_sequence|pause|refusal)|explanation$": PLACES,
    r"caller<|toolset_name$": CALLERS,
    r"<server_tool_use>|_tool_result>|<container_upload>|usage\.server_tool_use": SERVERS,
    r"stop_reason=(end_turn|tool_use)|stop_details<refusal>(\.category=\w+)?$|\.?stop_sequence$": ANYWAY,
    r"output_tokens_details": SPLIT,
}
_RESPONSES = {
    r"^(instructions|reasoning|prompt|text|tool|user|truncation|background|conversation|metadata|temperature|top_)": ECHO,
    r"^(max_output_tokens|max_tool_calls|previous_response_id|safety_identifier)$": ECHO,
    r"^(access_programs|moderation|service_tier|input_transformations|image<|completed_at)": SERVICE,
    r"^error<|^status$|^incomplete_details<\w+>(\.reason=steered)?$": "an answer that failed or was broken off is an error",
    r"reason=content_filter$|output\[\]<(web_search_call|compaction|reasoning)>|annotations|logprobs": PLACES,
    r"output\[\]<((file_search|tool_search|code_interpreter|local_shell|shell|apply_patch|mcp|computer)_call)": SERVERS,
    r"output\[\]<(program|tool_search|mcp_|function_call_output|custom_tool_call_output|unknown)": SERVERS,
    r"<image_generation_call>(\.|$)": "how the picture was asked for; the picture itself is told",
    r"cache_write_tokens_details": SPLIT,
    r"\.caller<|created_by$|\.async$": CALLERS,
    r"\.namespace$": SPACES,
}
_ITEM = r"<(function_call|custom_tool_call|reasoning)>\.(id|status|content\[\])$|phase="
_RESPONSES |= {_ITEM: ITEM}
_EVENTS = {
    r"<response\.output_text\.done>": PIECES,
    r"item<((file_search|tool_search|code_interpreter|local_shell|shell|apply_patch|mcp|computer)_call)": SERVERS,
    r"item<(program|tool_search|mcp_|function_call_output|custom_tool_call_output|unknown)": SERVERS,
    r"<image_generation_call>(\.|$)": "how the picture was asked for; the picture itself is told",
    r"item<(web_search_call|compaction|reasoning)>(\.action|\.encrypted|\.created_by|$)|annotations": PLACES,
    r"\.caller<|\.async$": CALLERS,
    r"\.namespace$": SPACES,
    _ITEM: ITEM,
    r"<response\.(shell_call|image_generation_call)": SERVERS,
    r"logprobs|annotation\.added": PLACES,
}
_GEMINI = {
    r"^candidates\[\]$": EMPTY,
    r"(media|audio|video|document|spreadsheet|speech|part)(Resolution|Metadata|Processing)|functionResponse": OF_REQUESTS,
    r"toolCall<|toolResponse<|audioTranscription|urlContextMetadata|codeExecutionResult|executableCode": SERVERS,
    r"citationMetadata|groundingMetadata|logprobsResult|thought|finishReason|continuationToken": PLACES,
    r"safetyRatings|avgLogprobs|tokenCount|trafficType|modelStatus|createTime|promptFeedback|finishMessage": SERVICE,
    r"TokensDetails|usageMetadata<\w+>(\.\w+)?$": SPLIT,
    r"sdkHttpResponse|automaticFunctionCallingHistory|parsed|\.role$|\.index$|modelVersion$|responseId$": ANYWAY,
    r"displayName$": LABEL,
    r"partialArgs|willContinue": PIECES,
}
_OLLAMA = {
    r"logprobs|done_reason|^created_at$|^model$": PLACES,
    r"_duration$": SERVICE,
    r"tool_name$|^done$": OF_REQUESTS,
}

# By upstream format: what a client may not be told, as patterns of paths, and why.
SILENT: dict[str, dict[str, str]] = {
    "openai_chat": _CHAT,
    "openai_chat stream": _CHAT
    | {
        r"role=|choices\[\]\.finish_reason$|type=function$|function<ChoiceDeltaToolCallFunction>$": ANYWAY,
        r"^obfuscation$": NOISE,
    },
    "openai_responses": _RESPONSES,
    "openai_responses stream": _EVENTS,
    "anthropic": _CLAUDE,
    "anthropic stream": _CLAUDE | {r"<message_start>\.message\.(content|stop_reason)": PIECES},
    "gemini": _GEMINI,
    "gemini stream": _GEMINI,
    "ollama": _OLLAMA,
    "ollama stream": _OLLAMA,
}


def request_of(client: str) -> ir.Request:
    words = (ir.Message("user", (ir.Text("x"),)),)
    return ir.Request("m", words, protocol=client, include_usage=True, thinking=ir.Thinking(show=True))


def read(answers: Answers, value: object) -> ir.Response:
    translator, target = registry.get(answers.name), Target(MODELS[answers.name])
    data = answers.written(value)
    if not answers.streams:
        return translator.decode_response(data, target)
    fold, decoder = Fold(), translator.stream_decoder(target)
    fold.feed(decoder.feed(data) + decoder.finish())
    return fold.response()


def told(client: str, response: ir.Response) -> bytes | str:
    try:
        return registry.get(client).encode_response(response, request_of(client))
    except MuxError as error:
        return error.message


def lost(answers: Answers, pair: Pair) -> Iterator[str]:
    """The clients that are told the same without the thing; none of an answer that is an error."""
    if pair.without is None:
        return
    try:
        without, there = read(answers, pair.without), read(answers, pair.body)
    except MuxError:
        return
    for client in CLIENTS:
        if client != answers.name and told(client, there) == told(client, without):
            yield client


@pytest.mark.parametrize("name", ANSWERS)
def test_no_field_of_an_sdks_answers_is_lost_in_silence(name: str) -> None:
    answers = ANSWERS[name]
    assert undecided(answers.pairs(), partial(lost, answers), SILENT[name]) == ({}, set())


@pytest.mark.parametrize("name", ANSWERS)
def test_the_types_of_the_sdk_are_walked_to_their_ends(name: str) -> None:
    """Guards the test above: a walk that stops early would find nothing."""
    assert DEEP[name] <= {pair.path for pair in ANSWERS[name].pairs()}


DEEP = {
    "openai_chat": {"choices[].message.tool_calls[]<custom>", "choices[].message.refusal"},
    "openai_chat stream": {"choices[].delta.tool_calls[]", "choices[].delta.refusal"},
    "openai_responses": {"output[]<reasoning>.encrypted_content", "output[]<assistant>.content[]<refusal>"},
    "openai_responses stream": {"<response.output_item.done>.item<custom_tool_call>"},
    "anthropic": {"content[]<text>.citations[]<web_search_result_location>.title", "content[]<thinking>"},
    "anthropic stream": {"<content_block_delta>.delta<input_json_delta>"},
    "gemini": {"candidates[].groundingMetadata<GroundingMetadata>.groundingChunks[].web<GroundingChunkWeb>.uri"},
    "gemini stream": {"candidates[].content<Content>.parts[].thoughtSignature"},
    "ollama": {"message.tool_calls[]", "message.thinking"},
    "ollama stream": {"message.tool_calls[]", "eval_count"},
}
