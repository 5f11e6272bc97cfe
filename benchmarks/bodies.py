"""Request bodies for the benchmarks: small ones, and agent-shaped ones (many messages, 40 tools) of a given size."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

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
    """The same request again and again, each beginning in words of its own: nothing of it was ever seen."""
    for number in _numbers:
        yield body.replace(b"You are a coding agent. ", b"You are agent %09d. " % number, 1)


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
        yield b'%b"messages":[%b%b]%b' % (head, first, more, tail)


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
