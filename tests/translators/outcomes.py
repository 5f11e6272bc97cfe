"""What an encoder makes of a probe, read from its bytes and its reports, and the targets that are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal

from msgspec import structs

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.providers.compatible import MESSAGES, RESPONSES
from llm_mux.translators import registry
from llm_mux.translators.base import Encoded, Hints, Target
from llm_mux.translators.gemini.quirks import Quirks as GeminiQuirks
from llm_mux.translators.openai_chat.quirks import COMPATIBLE
from llm_mux.translators.tools import Names, raise_call
from tests.translators.probes import Probe

Verdict = Literal["mapped", "reworded", "dropped", "refused", "emulated", "left out", "lost"]


@dataclass(frozen=True, slots=True)
class Peer:
    """A column of the page: a target that stands for others like it."""

    format: str
    title: str
    target: Target


PEERS = (
    Peer("openai_chat", "gpt-5.6", Target("gpt-5.6")),
    Peer("openai_chat", "gpt-4.1", Target("gpt-4.1")),
    Peer("openai_chat", "a compatible server", Target("llama-4", quirks=COMPATIBLE)),
    Peer("openai_responses", "gpt-5.6", Target("gpt-5.6")),
    Peer("openai_responses", "gpt-4.1", Target("gpt-4.1")),
    Peer("openai_responses", "a compatible server", Target("llama-4", quirks=RESPONSES)),
    Peer("anthropic", "claude-opus-5-5", Target("claude-opus-5-5")),
    Peer("anthropic", "claude-sonnet-4-5", Target("claude-sonnet-4-5")),
    Peer("anthropic", "a compatible server", Target("llama-4", quirks=MESSAGES)),
    Peer("gemini", "gemini-3-flash", Target("gemini-3-flash")),
    Peer("gemini", "gemini-2.5-flash", Target("gemini-2.5-flash")),
    Peer("gemini", "gemini-3-flash on Vertex AI", Target("gemini-3-flash", quirks=GeminiQuirks(vertex=True))),
    Peer("ollama", "qwen3", Target("qwen3")),
    Peer("bedrock", "claude-opus-5", Target("us.anthropic.claude-opus-5")),
    Peer("bedrock", "claude-sonnet-4-5", Target("us.anthropic.claude-sonnet-4-5-20250929-v1:0")),
    Peer("bedrock", "nova-2-lite", Target("us.amazon.nova-2-lite-v1:0")),
    Peer("bedrock", "llama-4", Target("us.meta.llama4-scout-17b-instruct-v1:0")),
    Peer("bedrock_invoke", "claude-opus-5", Target("us.anthropic.claude-opus-5")),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`detail`: what was written, the names reported and what stands for them, or the message of the refusal."""

    verdict: Verdict
    detail: str = ""


def outcome(probe: Probe, peer: Peer) -> Outcome:
    """What becomes of the feature at the target."""
    base, request = probe.for_target(peer.format)
    encode = registry.get(peer.format).encode_request
    try:
        before, after = encode(base, peer.target), encode(request, peer.target)
    except MuxError as error:
        if "by_url" in error.facts:
            return Outcome("emulated", "the daemon downloads it (`download-media`)")
        return Outcome("refused", error.message.partition(": it has no form for it")[0])
    changes = list(_changes(json.loads(before.body), json.loads(after.body), ""))[:2]
    if named := [f"`{name}`" for name in after.dropped if name not in before.dropped]:
        return Outcome("dropped", ", ".join(named) + (f"; instead {', '.join(changes)}" if changes else ""))
    if after.stops != before.stops:
        return Outcome("emulated", _cut(len(request.stop) - len(after.stops)))
    if not changes:
        return Outcome("left out" if probe.hint else "lost")
    same = probe.seen(_arrived(after, peer)) == probe.seen(request)
    return Outcome("mapped" if same else "reworded", ", ".join(changes))


def _cut(sent: int) -> str:
    return f"cuts the answer at those after the first {sent}" if sent else "cuts the answer at them"


def _arrived(made: Encoded, peer: Peer) -> ir.Request:
    hints = Hints(model=peer.target.model, headers=made.headers)
    request = registry.get(peer.format).decode_request(made.body, hints)
    messages = tuple(_restored(message, made.names) for message in request.messages)
    tools = tuple(_tool(tool, made.names) for tool in request.tools)
    return structs.replace(request, messages=messages, tools=tools)


def _restored(message: ir.Message, names: Names) -> ir.Message:
    parts = tuple(raise_call(part, names) if isinstance(part, ir.ToolCall) else part for part in message.parts)
    return structs.replace(message, parts=parts)


def _tool(tool: ir.Tool | ir.HostedTool, names: Names) -> ir.Tool | ir.HostedTool:
    """A function under the client's name; what it was beside a function is for the reader to see in the bytes."""
    if isinstance(tool, ir.HostedTool) or tool.name not in names.to_client:
        return tool
    return structs.replace(tool, name=names.to_client[tool.name].name)


_LONGEST = 100


def _changes(before: object, after: object, path: str) -> Iterator[str]:
    """Every place where `after` differs, outermost first, with what stands there."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*after, *(key for key in before if key not in after)]:
            yield from _member(before, after, key, f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path)
    elif before != after:
        yield _written(path, after)


def _member(before: dict[str, object], after: dict[str, object], key: str, path: str) -> Iterator[str]:
    if key not in after:
        yield f"no `{path}`"
    elif key not in before:
        yield _written(path, after[key])
    else:
        yield from _changes(before[key], after[key], path)


def _items(before: list[object], after: list[object], path: str) -> Iterator[str]:
    """Items that came, went or changed; an insertion does not make those after it changed."""
    texts = [json.dumps(item) for item in before], [json.dumps(item) for item in after]
    for tag, start, stop, first, last in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for old, new in zip_longest(range(start, stop), range(first, last)):
            if new is None:
                yield f"no `{path}[{old}]`"
            elif old is None:
                yield _written(f"{path}[{new}]", after[new])
            else:
                yield from _changes(before[old], after[new], f"{path}[{new}]")


def _written(path: str, value: object) -> str:
    text = json.dumps(value, ensure_ascii=False).replace("`", "'")
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return f"`{path}: {short}`"
