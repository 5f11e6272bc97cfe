"""OpenAI's Python SDK, Responses."""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import openai

from tests.clients.conversation import Abilities, Answer, Ask, Call, Link, Result, Results, Said, Turn, User, Words


class OpenAIResponses:
    """`/v1/responses`, stateless: history goes along as items, reasoning among them in its encrypted form."""

    protocol = "openai-responses"
    words = Words("completed", "completed", "incomplete: max_output_tokens", "incomplete: content_filter", "completed")
    abilities = Abilities(result_errors=False, stop=False, links=("image/png", "application/pdf"))

    def __init__(self, url: str) -> None:
        self.client: Any = openai.OpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0, timeout=30)

    def ask(self, model: str, ask: Ask) -> Answer:
        return _answer(self.client.responses.create(**_body(model, ask)))

    def stream(self, model: str, ask: Ask) -> Answer:
        with self.client.responses.stream(**_body(model, ask)) as events:
            for event in events:
                if event.type in ("response.completed", "response.incomplete"):
                    return _answer(event.response)
                _raise(event)
        raise AssertionError("the stream ended without an end")

    @contextlib.contextmanager
    def pieces(self, model: str, ask: Ask) -> Iterator[Iterator[str]]:
        with self.client.responses.create(**_body(model, ask), stream=True) as events:
            yield _deltas(events)

    def count(self, model: str, ask: Ask) -> int:
        body = _body(model, ask)
        counted = self.client.responses.input_tokens.count(model=model, input=body["input"])
        return int(counted.input_tokens)

    def status_of(self, error: Exception) -> int | None:
        return error.status_code if isinstance(error, openai.APIStatusError) else None

    def close(self) -> None:
        self.client.close()


def _raise(event: Any) -> None:
    """The SDK leaves it to its users to look for a failure."""
    if event.type in ("response.failed", "error"):
        raise ConnectionError(event)


def _deltas(events: Any) -> Iterator[str]:
    for event in events:
        _raise(event)
        if event.type == "response.output_text.delta":
            yield event.delta


def _body(model: str, ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "input": [item for turn in ask.turns for item in _items(turn)],
        "store": False,
    }
    if ask.system is not None:
        body["instructions"] = ask.system
    if ask.tools:
        body["tools"] = [
            {"type": "function", "name": t.name, "description": t.description, "parameters": t.schema, "strict": False}
            for t in ask.tools
        ]
    if ask.force:
        body["tool_choice"] = {"type": "function", "name": ask.force}
    if ask.schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "person", "schema": ask.schema, "strict": True}}
    if ask.search:
        body["tools"] = [*body.get("tools", ()), {"type": "web_search"}]
    if ask.think:
        body |= {"reasoning": {"effort": "medium", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    return body | {"max_output_tokens": ask.max_tokens}


def _items(turn: Turn) -> list[Any]:
    match turn:
        case User():
            return [{"role": "user", "content": _content(turn)}]
        case Said():
            return [{"role": "assistant", "content": turn.text}]
        case Answer():
            return list(turn.native or _made(turn))
        case Results():
            return [{"type": "function_call_output", "call_id": r.call.id, "output": _output(r)} for r in turn.results]


def _made(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.text:
        yield {"role": "assistant", "content": answer.text}
    for call in answer.calls:
        arguments = json.dumps(call.arguments)
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


def _image(png: bytes) -> dict[str, Any]:
    return {
        "type": "input_image",
        "image_url": f"data:image/png;base64,{base64.b64encode(png).decode()}",
        "detail": "auto",
    }


def _content(turn: User) -> Any:
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": turn.text}]
    if turn.image is not None:
        parts.append(_image(turn.image))
    if turn.pdf is not None:
        data = f"data:application/pdf;base64,{base64.b64encode(turn.pdf).decode()}"
        parts.append({"type": "input_file", "filename": "paper.pdf", "file_data": data})
    if turn.link is not None:
        parts.append(_linked(turn.link))
    return turn.text if len(parts) == 1 else parts


def _linked(link: Link) -> dict[str, Any]:
    if link.media_type == "application/pdf":
        return {"type": "input_file", "file_url": link.url}
    return {"type": "input_image", "image_url": link.url, "detail": "auto"}


def _output(result: Result) -> Any:
    pictures = [] if result.image is None else [_image(result.image)]
    pictures += [] if result.link is None else [_linked(result.link)]
    return [{"type": "input_text", "text": result.text}, *pictures] if pictures else result.text


def _answer(response: Any) -> Answer:
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    calls = tuple(
        Call(item.call_id, item.name, json.loads(item.arguments))
        for item in response.output
        if item.type == "function_call"
    )
    summaries = [part.text for item in response.output if item.type == "reasoning" for part in item.summary]
    stop = response.status
    if response.incomplete_details is not None:
        stop = f"{stop}: {response.incomplete_details.reason}"
    return Answer(
        response.output_text,
        calls,
        "".join(summaries),
        stop,
        usage.input_tokens,
        usage.output_tokens,
        [item.to_dict() for item in response.output],
        usage.input_tokens,
        usage.input_tokens_details.cached_tokens if usage.input_tokens_details else None,
        usage.output_tokens_details.reasoning_tokens if usage.output_tokens_details else None,
        tuple(
            (note.url, note.title, part.text[note.start_index : note.end_index])
            for item in response.output
            if item.type == "message"
            for part in item.content
            if part.type == "output_text"
            for note in part.annotations
        ),
        tuple(item.action.query for item in response.output if item.type == "web_search_call"),
    )
