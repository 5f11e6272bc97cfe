"""No field of an official SDK's requests is lost in silence, on the way to any format.

Every field of every type of the installed SDKs is tried, so that one which a new release brings has to be decided upon:
mapped, reported or refused, or listed here with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial

import pytest

from llm_mux.errors import MuxError
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Target
from tests.translators.sdk_bodies import FORMATS, Body, Format, Pair, undecided

# Models that take as much as any of their format.
TARGETS = {
    "openai_chat": Target("gpt-4.1"),
    "openai_responses": Target("gpt-5.6"),
    "anthropic": Target("claude-sonnet-4-5"),
    "gemini": Target("gemini-3-flash"),
    "ollama": Target("qwen3"),
    "bedrock": Target("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
}

CACHES = "a mark for a cache changes no answer"
ANYWAY = "what it says holds anyway"
EMPTY = "an object without anything in it asks for nothing"
LABEL = "a name for the client's own eyes"
LOADING = "how the vendor loads and streams a tool, or which of its programs may call it"
RETURNS = "what a function returns is told to the model by its results"
SERVERS = "what the vendor's own tools did; what came of it is in the answer's text"
THOUGHTS = "reasoning and its seals go to their own maker only, and showing them is the client's matter"
DAEMON = "the daemon does it itself"
STATE = "how far an item had come when it was made"
STEERS = "what steers the vendor's server alone; a tool that is defined so is refused elsewhere"
CITED = "where an earlier answer's words came from"

_CLAUDE = {
    r"cache_control": CACHES,
    r"=auto$|<auto>$|\.type=\w+$|<(disabled|between_tools|adaptive)>$": ANYWAY,
    r"<tool>\.disable_parallel_tool_use$": "a named tool is called once",
    r"<(Beta)?CitationsConfig\w*>$|<approximate>$|^metadata$|^output_config$|\.citations$": EMPTY,
    r"transformations": "whether a picture that is too large is made smaller or is an error",
    r"document>\.title$": LABEL,
    r"citations\[\]|citations\.enabled$": CITED,
    r"caller<|allowed_callers|defer_loading|eager_input_streaming|toolset_name|web_search_\d+>\.strict$": LOADING,
    r"_tool_result>|<server_tool_use>|<container_upload>$": SERVERS,
    r"thinking>$|\.display=": THOUGHTS,
    r"^stream": DAEMON,
}

# By client format: what may be missing, as patterns of paths, and why.
SILENT: dict[str, dict[str, str]] = {
    "openai_chat": {
        r"prompt_cache_": CACHES,
        r"=auto$|response_format<text>$|format<text>$|modalities\[\]=text$|^parallel_tool_calls$|=none$": ANYWAY,
        r"json_schema\.strict$": "structured outputs of others follow their schema anyway",
        r"filename$": LABEL,
        r"^stream": DAEMON,
    },
    "openai_responses": {
        r"prompt_cache_": CACHES,
        r"=auto$|format<text>$|^parallel_tool_calls$|\.effort=none$|mode=standard$|\.type=\w+$|=text$": ANYWAY,
        r"external_web_access$": ANYWAY,
        r"<user_location>$|<Filters>$|<approximate>$|^text$|reasoning<Reasoning>$|configuration_update>\.\w+$": EMPTY,
        r"(format|json_schema)\S*\.strict$": "structured outputs of others follow their schema anyway",
        r"filename$|\.id$|^model$": LABEL,
        r"(allowed_callers\[\]=\w+|defer_loading)$": LOADING,
        r"\.output_schema$": RETURNS,
        r"<(file_search|web_search|code_interpreter|image_generation|tool_search)_call>|<mcp_|<tool_search_output>\.": SERVERS,
        r"<reasoning>|reasoning<Reasoning>\.(context|summary|generate_summary)": THOUGHTS,
        r"^stream|^store$|^include\[\]=reasoning": DAEMON,
        r"\.status=|\.phase=": STATE,
        r"\.(caller<\w+>|async)$": "which of the vendor's programs called, and that it did not wait",
        r"<function_call_output>\.(name|namespace)$": "the call says it too",
        r"annotations\[\]|logprobs\[\]": CITED,
    },
    "anthropic": _CLAUDE,
    "anthropic beta": _CLAUDE
    | {
        r"tool_changes|<(tool_addition|tool_removal|mcp_tool_listing|fallback)>|<mcp_tool_use>$": STEERS,
        r"<compaction>(\.encrypted_content|\.signature|$)": "its words are told; what seals them is for its own maker",
    },
    "gemini": {
        r"level=MEDIA_RESOLUTION_MEDIUM$|mediaResolution<PartMediaResolution>(\.numTokens)?$|=TEXT$|=BLOCKING$": ANYWAY,
        r"mode=(AUTO|VALIDATED)$|=unspecified$|\.mimeType$|\.role$|functionResponse<FunctionResponse>\.id$": ANYWAY,
        r"^tools\[\]$|<(ToolConfig|FunctionCallingConfig|ThinkingConfig|GenerationConfig|LatLng|RetrievalConfig)>$": EMPTY,
        r"<(SearchTypes|Interval|DynamicRetrievalConfig)>$": EMPTY,
        r"displayName$|partMetadata$": LABEL,
        r"partialArgs|functionCall<FunctionCall>\.willContinue$": "arguments in pieces are of answers only",
        r"\.(response<Schema>|responseJsonSchema)": RETURNS,
        r"<(CodeExecutionResult|ExecutableCode|ToolCall|ToolResponse|Transcription)>": SERVERS,
        r"thoughtSignature$|includeThoughts$": THOUGHTS,
        r"streamFunctionCallArguments$": LOADING,
        r"generationConfig<GenerationConfig>\.logprobs$": "says nothing unless log probabilities are asked for",
    },
    "ollama chat": {
        r"^stream$": DAEMON,
        r"options<Options>$": EMPTY,
        r"\.type$": ANYWAY,
        r"^top_logprobs$": "says nothing unless log probabilities are asked for",
    },
    "ollama generate": {
        r"^stream$": DAEMON,
        r"options<Options>$": EMPTY,
        r"^top_logprobs$": "says nothing unless log probabilities are asked for",
    },
}

# What a decoder refuses although the SDK's types allow it.
REFUSED = {"ollama generate": {"suffix"}}


def encoded(format_: Format, body: Body) -> dict[str, Encoded]:
    """The requests that become of a body, without those that refuse it."""
    request = registry.get(format_.name).decode_request(json.dumps(body).encode(), format_.hints)
    made: dict[str, Encoded] = {}
    for name, target in TARGETS.items():
        try:
            made[name] = registry.get(name).encode_request(request, target)
        except MuxError:
            continue
    return made


def lost(format_: Format, pair: Pair) -> Iterator[str]:
    """The targets where a body is the same without the thing, and nothing is reported."""
    if pair.without is None:
        return
    there, without = encoded(format_, pair.body), encoded(format_, pair.without)
    words = set(re.split(r"[.\[\]<>=]+", pair.path))
    for name in there.keys() & without.keys():
        found, before = there[name], without[name]
        reported = any(words.intersection(dropped.split(".")) for dropped in found.dropped)
        same = (found.body, found.stops, found.dropped) == (before.body, before.stops, before.dropped)
        if same and not reported:
            yield name


@pytest.mark.covers("PF-139")
@pytest.mark.parametrize("name", FORMATS)
def test_no_field_of_the_sdk_is_lost_in_silence(name: str) -> None:
    format_ = FORMATS[name]
    pairs = (pair for pair in format_.pairs() if pair.path not in REFUSED.get(name, ()))
    assert undecided(pairs, partial(lost, format_), SILENT[name]) == ({}, set())


@pytest.mark.parametrize("name", FORMATS)
def test_the_types_of_the_sdk_are_walked_to_their_ends(name: str) -> None:
    """Guards the test above: a walk that stops early would find nothing."""
    paths = {pair.path for pair in FORMATS[name].pairs()}
    assert DEEP[name] <= paths


DEEP = {
    "openai_chat": {
        "messages[]<user>.content[]<image_url>.image_url.detail=low",
        "tools[]<custom>.custom.format<grammar>.grammar.syntax=regex",
        "web_search_options.user_location<approximate>.approximate.timezone",
    },
    "openai_responses": {
        "input[]<function_call>.caller<program>",
        "tools[]<web_search>.filters<Filters>.allowed_domains[]",
        "text.format<json_schema>.description",
    },
    "anthropic": {
        "messages[]<user>.content[]<tool_result>.content[]<document>.context",
        "messages[]<user>.content[]<tool_result>.content[]<search_result>",
        "tools[]<web_search_20250305>.max_uses",
    },
    "anthropic beta": {
        "messages[]<user>.content[]<compaction>.encrypted_content",
        "mcp_servers[].authorization_token",
    },
    "gemini": {
        "contents[].parts[].videoMetadata<VideoMetadata>.startOffset",
        "tools[].googleSearch<GoogleSearch>.excludeDomains[]",
        "generationConfig<GenerationConfig>.thinkingConfig<ThinkingConfig>.thinkingLevel=LOW",
    },
    "ollama chat": {"messages[].tool_calls[]", "options<Options>.repeat_penalty"},
    "ollama generate": {"system", "raw"},
}
