"""Request bodies for the benchmarks: small ones, and agent-shaped ones (many messages, 40 tools) of a given size."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

_LINE = b"one line of code"
SIZES = {"2 KB": 2_000, "200 KB": 200_000, "1 MB": 1_000_000}


def chat(size: int, *, stream: bool) -> bytes:
    """An OpenAI chat request of about `size` bytes."""
    body: dict[str, Any] = {"model": "bench", "stream": stream, "messages": [], "max_tokens": 1000}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if size > 20_000:
        body["tools"] = [_tool(number) for number in range(40)]
    body["messages"] = [{"role": "system", "content": "You are a coding agent. " * 20}]
    turn = 0
    while len(json.dumps(body)) < size * 0.9:
        body["messages"].extend(_turns(turn, 5 if size > 20_000 else 1, size > 20_000))
        turn += 5
    body["messages"].append({"role": "user", "content": "Go on."})
    return json.dumps(body, separators=(",", ":")).encode()


_numbers = itertools.count()


def unseen(body: bytes) -> Iterator[bytes]:
    """The same request again and again, each in words of its own: nothing of it was ever seen."""
    for number in _numbers:
        begun = body.replace(b"You are a coding agent. ", b"You are agent %09d. " % number, 1)
        yield begun.replace(_LINE, b"%08d of code" % number)


def growing(size: int, at_once: int, *, model: str, stream: bool = False) -> Iterator[bytes]:
    """Agents' conversations of about `size` bytes by turns, each longer by a call and its result every time."""
    body = json.loads(chat(size, stream=stream)) | {"model": model}
    frame = json.dumps(body | {"messages": []}, separators=(",", ":")).encode()
    head, tail = frame.split(b'"messages":[]')
    begun = json.dumps(body["messages"], separators=(",", ":"))[1:-1].encode()
    names = [next(_numbers) for _ in range(at_once)]
    for number in itertools.count():
        agent, step = number % at_once, number // at_once
        steps = [message for turn in range(step) for message in _turns(100_000 * (agent + 1) + 10 * turn + 1, 1, True)]
        first = begun.replace(b"You are a coding agent. ", b"You are agent %09d. " % names[agent], 1)
        more = b"".join(b",%b" % json.dumps(message, separators=(",", ":")).encode() for message in steps)
        # No two agents read the same files.
        said = (first + more).replace(_LINE, b"%08d of code" % names[agent])
        yield b'%b"messages":[%b]%b' % (head, said, tail)


def spoken(client: str, body: bytes) -> bytes:
    """A chat request in the words of another format: `messages`, with a cache mark on the last one as coding tools set
    them, or `responses`. What its system message says is said by the user: that of a coding tool is always the same."""
    if client == "chat":
        return body
    said = json.loads(body)
    first, *turns = said.pop("messages")
    turns[0]["content"] = first["content"] + turns[0]["content"]
    system = "You help with code. " * 20
    fields = {name: said[name] for name in ("model", "stream") if name in said}
    if client == "responses":
        tools = [{"type": "function", **tool["function"]} for tool in said.get("tools", [])]
        items = [item for turn in turns for item in _items(turn)]
        made = fields | {"instructions": system, "input": items, "tools": tools, "store": False}
    else:
        tools = [_claude_tool(tool["function"]) for tool in said.get("tools", [])]
        slot = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
        made = fields | {"messages": _claude_turns(turns), "system": slot, "tools": tools, "max_tokens": 1000}
    return json.dumps(made, separators=(",", ":")).encode()


def _items(turn: dict[str, Any]) -> list[dict[str, Any]]:
    if turn["role"] == "tool":
        return [{"type": "function_call_output", "call_id": turn["tool_call_id"], "output": turn["content"]}]
    kind = "output_text" if turn["role"] == "assistant" else "input_text"
    content = [{"type": kind, "text": turn["content"]}]
    calls = [{"type": "function_call", "call_id": c["id"], **c["function"]} for c in turn.get("tool_calls", [])]
    return [{"type": "message", "role": turn["role"], "content": content}, *calls]


def _claude_tool(function: dict[str, Any]) -> dict[str, Any]:
    return {"name": function["name"], "description": function["description"], "input_schema": function["parameters"]}


def _claude_turns(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for turn in turns:
        role = "assistant" if turn["role"] == "assistant" else "user"
        if turn["role"] == "tool":
            blocks = [{"type": "tool_result", "tool_use_id": turn["tool_call_id"], "content": turn["content"]}]
        else:
            blocks = [{"type": "text", "text": turn["content"]}]
        for call in turn.get("tool_calls", []):
            given = json.loads(call["function"]["arguments"])
            blocks.append({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": given})
        if made and made[-1]["role"] == role:
            made[-1]["content"] += blocks
        else:
            made.append({"role": role, "content": blocks})
    made[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    return made


def _turns(start: int, count: int, agent: bool) -> list[dict[str, Any]]:
    """A few steps of a conversation; an agent's are mostly calls and what the tools gave back (3 KB each)."""
    made: list[dict[str, Any]] = []
    for number in range(start, start + count):
        if agent and number % 5:
            arguments = json.dumps({"path": f"src/file{number}.py", "offset": number})
            call = {"id": f"call_{number}", "type": "function", "function": {"name": "tool_1", "arguments": arguments}}
            made.append({"role": "assistant", "content": "I will read it.", "tool_calls": [call]})
            made.append({"role": "tool", "tool_call_id": f"call_{number}", "content": "one line of code\n" * 180})
            continue
        made.append({"role": "user", "content": f"Step {number}: please look at the file. " + "words " * 40})
        made.append({"role": "assistant", "content": "It says what it says. " * 10})
    return made


def _tool(number: int) -> dict[str, Any]:
    properties = {f"argument_{i}": {"type": "string", "description": "What it is for. " * 4} for i in range(6)}
    parameters = {"type": "object", "properties": properties, "required": ["argument_0"]}
    function = {"name": f"tool_{number}", "description": "Does one thing well. " * 10, "parameters": parameters}
    return {"type": "function", "function": function}
