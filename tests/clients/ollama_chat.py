"""Ollama's Python client."""

import contextlib
from collections.abc import Iterator
from typing import Any

import ollama

from tests.clients.conversation import Abilities, Answer, Ask, Call, Results, Said, Turn, User, Words


class OllamaChat:
    """`/api/chat`. It has no tool choice, no ids the client keeps, and no documents."""

    protocol = "ollama"
    words = Words("stop", "stop", "length", "stop", "stop")
    abilities = Abilities(
        force=False,
        call_ids=False,
        result_errors=False,
        result_images=False,
        pdf=False,
        count=False,
        cached=False,
        reasoned=False,
        search=False,
        sources=False,
    )

    def __init__(self, url: str) -> None:
        self.client: Any = ollama.Client(host=url, timeout=30)

    def ask(self, model: str, ask: Ask) -> Answer:
        return _answer([self.client.chat(**_body(model, ask))])

    def stream(self, model: str, ask: Ask) -> Answer:
        return _answer(list(self.client.chat(**_body(model, ask), stream=True)))

    @contextlib.contextmanager
    def pieces(self, model: str, ask: Ask) -> Iterator[Iterator[str]]:
        with contextlib.closing(self.client.chat(**_body(model, ask), stream=True)) as lines:
            yield (line.message.content for line in lines if line.message.content)

    def count(self, model: str, ask: Ask) -> int:
        raise NotImplementedError

    def status_of(self, error: Exception) -> int | None:
        return error.status_code if isinstance(error, ollama.ResponseError) else None

    def close(self) -> None:
        self.client.close()


def _body(model: str, ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [message for turn in ask.turns for message in _messages(turn)]}
    if ask.system is not None:
        body["messages"].insert(0, {"role": "system", "content": ask.system})
    if ask.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
            for t in ask.tools
        ]
    if ask.schema is not None:
        body["format"] = ask.schema
    if ask.think:
        body["think"] = True
    stop = {"stop": list(ask.stop)} if ask.stop else {}
    return body | {"options": {"num_predict": ask.max_tokens, **stop}}


def _messages(turn: Turn) -> list[Any]:
    match turn:
        case User():
            images = {} if turn.image is None else {"images": [turn.image]}
            return [{"role": "user", "content": turn.text, **images}]
        case Said():
            return [{"role": "assistant", "content": turn.text}]
        case Answer():
            return [turn.native or _made(turn)]
        case Results():
            return [{"role": "tool", "tool_name": r.call.name, "content": r.text} for r in turn.results]


def _made(answer: Answer) -> dict[str, Any]:
    calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in answer.calls]
    return {"role": "assistant", "content": answer.text, **({"tool_calls": calls} if calls else {})}


def _answer(lines: list[Any]) -> Answer:
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    messages = [line.message for line in lines]
    calls = [call for message in messages for call in message.tool_calls or ()]
    text = "".join(message.content or "" for message in messages)
    thinking = "".join(message.thinking or "" for message in messages)
    last = lines[-1]
    return Answer(
        text,
        tuple(Call("", call.function.name, call.function.arguments) for call in calls),
        thinking,
        last.done_reason,
        last.prompt_eval_count or 0,
        last.eval_count or 0,
        ollama.Message(role="assistant", content=text, thinking=thinking or None, tool_calls=calls or None),
        last.prompt_eval_count or 0,
    )
