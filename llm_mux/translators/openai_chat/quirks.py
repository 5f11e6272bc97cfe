"""How servers that speak chat completions differ: one record whose defaults are OpenAI's own API.

Rule: a field is named for the behaviour, and its comment says who needs another value. `COMPATIBLE` is the careful
starting point for a server of which only "OpenAI-compatible" is known.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from llm_mux import ir
from llm_mux.translators.base import Target

# Tuning knobs that OpenAI's API does not know (OpenRouter, vLLM, SGLang, DashScope and others do).
EXTENSIONS = frozenset({"top_k", "min_p", "repetition_penalty"})

# Top-level parameters that only OpenAI (and Azure) take; many others answer 400 for them.
OFFICIAL_ONLY = frozenset(
    {
        "store",
        "metadata",
        "service_tier",
        "verbosity",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "moderation",
        "web_search_options",
    }
)

ThinkingStyle = Literal["effort", "openrouter", "thinking_type", "enable_thinking", "template", "none"]


class Quirks(Struct, frozen=True):
    """What one server does differently from OpenAI's API."""

    # "max_tokens" for nearly everyone else; Ollama ignores the newer name without a word.
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    # Everyone but OpenAI, Azure and xAI knows only "system".
    developer_role: bool = True
    # Chat templates that accept one system message, at the beginning only (Qwen, Mistral and others on vLLM).
    single_system: bool = False
    # OpenAI's model families have rules of their own (sampling, stop, effort words): see openai_models.py.
    openai_models: bool = True
    # "reasoning" for OpenRouter, Groq, Vercel and newer vLLM; what is read back is always every spelling.
    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    # "tool_loops": DeepSeek and Kimi answer 400 when a turn with tool calls lacks it. "always": GLM keeps its thinking.
    send_back_reasoning: Literal["never", "tool_loops", "always"] = "never"
    # Kimi does not take an empty text for missing reasoning: the last real one is repeated.
    repeat_reasoning: bool = False
    # OpenRouter wants its typed blocks back unmodified.
    reasoning_details: bool = False
    # effort: `reasoning_effort`; openrouter: `reasoning: {}`; thinking_type: `thinking: {type}` (DeepSeek, GLM, Kimi);
    # enable_thinking: DashScope; template: `chat_template_kwargs` (vLLM, SGLang); none: the server has no switch.
    thinking_style: ThinkingStyle = "effort"
    # Effort words the server takes; None: what the model family takes (or all). Empty: it takes none.
    effort_words: frozenset[str] | None = None
    # Parameters removed and reported. `n` and `logprobs` here are refused, since they change the answer's shape.
    unsupported: frozenset[str] = EXTENSIONS
    # Some older servers refuse `stream_options`.
    stream_usage: bool = True
    # Servers that refuse `content: null` beside tool calls get "".
    content_null_ok: bool = True
    # Ollama's /v1 loses a tool message's id when its content is an array; others know strings only.
    flatten_content: bool = False
    # Whether `parallel_tool_calls` is known.
    parallel_switch: bool = True
    # Whether `strict` on a function is known.
    strict_tools: bool = True
    # Whether `tool_choice` may be an `allowed_tools` object; elsewhere the list of tools is reduced.
    allowed_tools: bool = True
    # Whether `tool_choice` may force a call or name a tool.
    forced_tools: bool = True
    # Free-text tools exist at OpenAI only; elsewhere they become functions with one string.
    custom_tools: bool = True
    # Longest tool call id: older OpenAI deployments stop at 40; Mistral wants exactly 9 letters and digits.
    tool_id_limit: int = 40
    # DeepSeek, Kimi and others know `json_object` only; Perplexity `json_schema` only.
    json_schema: bool = True
    json_object: bool = True
    # Most stop strings that are taken; the daemon cuts at the others.
    stop_limit: int = 4
    # Open-weight servers without a reasoning parser put <think>...</think> into the content.
    think_tags: bool = False
    # Content the server takes.
    images: bool = True
    image_urls: bool = True
    files: bool = True
    audio: bool = True
    video: bool = False
    refusals: bool = True
    # `prompt_cache_breakpoint` on parts (OpenAI from gpt-5.6 on).
    cache_breakpoints: bool = True
    # Anthropic-style `cache_control` on parts and tools (OpenRouter, DashScope, LiteLLM).
    cache_control_parts: bool = False
    # Gemini's OpenAI layer carries thought signatures in `extra_content` of a tool call.
    extra_content_signatures: bool = False
    # Copilot gives the text and the calls of one whole answer in choices of their own.
    split_choices: bool = False
    # Embedding vectors as base64 floats; many others know numbers only.
    embeddings_base64: bool = True


OFFICIAL = Quirks()

COMPATIBLE = Quirks(
    max_tokens_field="max_tokens",
    developer_role=False,
    openai_models=False,
    unsupported=OFFICIAL_ONLY,
    content_null_ok=False,
    parallel_switch=True,
    strict_tools=False,
    allowed_tools=False,
    custom_tools=False,
    files=False,
    audio=False,
    refusals=False,
    cache_breakpoints=False,
    embeddings_base64=False,
)


def of(target: Target) -> Quirks:
    """The target's quirks; a target without any is OpenAI's API."""
    return target.quirks if isinstance(target.quirks, Quirks) else OFFICIAL


def takes(target: Target, part: ir.Part) -> bool:
    """Whether the server takes this kind of content at all."""
    quirks = of(target)
    match part:
        case ir.Image(source=source):
            return quirks.images and (quirks.image_urls or not isinstance(source, ir.Url))
        case ir.Document():
            return quirks.files
        case ir.Audio():
            return quirks.audio
        case ir.Video():
            return quirks.video
        case _:
            return True
