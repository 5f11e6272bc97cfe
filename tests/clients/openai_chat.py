"""OpenAI's Python SDK, chat completions."""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import openai

from tests.clients.conversation import Abilities, Answer, Ask, Call, Results, Said, Source, Turn, User, Words


class OpenAIChat:
    """`/v1/chat/completions`. Results hold only text there, so images of results are left to other drivers."""

    protocol = "openai-chat"
    words = Words("stop", "tool_calls", "length", "content_filter", "stop")
    abilities = Abilities(result_images=False, result_errors=False, count=False, links=("image/png",))

    def __init__(self, url: str) -> None:
        self.client: Any = openai.OpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0, timeout=30)

    def ask(self, model: str, ask: Ask) -> Answer:
        return _answer(self.client.chat.completions.create(**_body(model, ask)))

    def stream(self, model: str, ask: Ask) -> Answer:
        body = _body(model, ask) | {"stream_options": {"include_usage": True}}
        with self.client.chat.completions.stream(**body) as events:
            try:
                return _answer(events.get_final_completion())
            except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                return _answer(events.current_completion_snapshot)

    @contextlib.contextmanager
    def pieces(self, model: str, ask: Ask) -> Iterator[Iterator[str]]:
        with self.client.chat.completions.create(**_body(model, ask), stream=True) as chunks:
            yield (
                chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content
            )

    def count(self, model: str, ask: Ask) -> int:
        raise NotImplementedError

    def status_of(self, error: Exception) -> int | None:
        return error.status_code if isinstance(error, openai.APIStatusError) else None

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
    if ask.force:
        body["tool_choice"] = {"type": "function", "function": {"name": ask.force}}
    if ask.schema is not None:
        named = {"name": "person", "schema": ask.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if ask.search:
        body["web_search_options"] = {}
    if ask.think:
        body["reasoning_effort"] = "medium"
    if ask.stop:
        body["stop"] = list(ask.stop)
    return body | {"max_completion_tokens": ask.max_tokens}


def _messages(turn: Turn) -> list[Any]:
    match turn:
        case User():
            return [{"role": "user", "content": _content(turn)}]
        case Said():
            return [{"role": "assistant", "content": turn.text}]
        case Answer():
            return [turn.native or _made(turn)]
        case Results():
            return [{"role": "tool", "tool_call_id": r.call.id, "content": r.text} for r in turn.results]


def _made(answer: Answer) -> dict[str, Any]:
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.dumps(c.arguments)}}
        for c in answer.calls
    ]
    return {"role": "assistant", "content": answer.text or None, **({"tool_calls": calls} if calls else {})}


def _content(turn: User) -> Any:
    parts: list[dict[str, Any]] = [{"type": "text", "text": turn.text}]
    if turn.image is not None:
        url = f"data:image/png;base64,{base64.b64encode(turn.image).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    if turn.pdf is not None:
        data = f"data:application/pdf;base64,{base64.b64encode(turn.pdf).decode()}"
        parts.append({"type": "file", "file": {"filename": "paper.pdf", "file_data": data}})
    if turn.link is not None:
        parts.append({"type": "image_url", "image_url": {"url": turn.link.url}})
    return turn.text if len(parts) == 1 else parts


def _answer(completion: Any) -> Answer:
    choice = completion.choices[0]
    message = choice.message
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    calls = tuple(
        Call(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()
    )
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or ""
    return Answer(
        message.content or "",
        calls,
        reasoning,
        choice.finish_reason,
        usage.prompt_tokens,
        usage.completion_tokens,
        message.model_dump(
            exclude_none=True, exclude={"parsed": True, "tool_calls": {"__all__": {"function": {"parsed_arguments"}}}}
        ),
        usage.prompt_tokens,
        usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None,
        usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else None,
        tuple(_source(note, message.content) for note in message.annotations or ()),
    )


def _source(note: Any, content: str) -> Source:
    """The stream helper leaves annotations as they came."""
    cited = note["url_citation"] if isinstance(note, dict) else note.url_citation.to_dict()
    return cited["url"], cited["title"], content[cited["start_index"] : cited["end_index"]]
