"""Anthropic's Python SDK."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

import anthropic

from tests.clients.conversation import Abilities, Answer, Ask, Call, Link, Result, Results, Said, Turn, User, Words


class AnthropicMessages:
    """`/v1/messages`."""

    protocol = "anthropic"
    words = Words("end_turn", "tool_use", "max_tokens", "refusal", "stop_sequence")
    abilities = Abilities(links=("image/png", "application/pdf"))

    def __init__(self, url: str) -> None:
        self.client: Any = anthropic.Anthropic(base_url=url, api_key="test", max_retries=0, timeout=30)

    def ask(self, model: str, ask: Ask) -> Answer:
        return _answer(self.client.messages.create(**_body(model, ask)))

    def stream(self, model: str, ask: Ask) -> Answer:
        with self.client.messages.stream(**_body(model, ask)) as events:
            return _answer(events.get_final_message())

    @contextlib.contextmanager
    def pieces(self, model: str, ask: Ask) -> Iterator[Iterator[str]]:
        with self.client.messages.stream(**_body(model, ask)) as events:
            yield events.text_stream

    def count(self, model: str, ask: Ask) -> int:
        body = _body(model, ask)
        del body["max_tokens"]
        return int(self.client.messages.count_tokens(**body).input_tokens)

    def status_of(self, error: Exception) -> int | None:
        return error.status_code if isinstance(error, anthropic.APIStatusError) else None

    def close(self) -> None:
        self.client.close()


def _body(model: str, ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(turn) for turn in ask.turns],
        "max_tokens": ask.max_tokens,
    }
    if ask.system is not None:
        body["system"] = ask.system
    if ask.tools:
        body["tools"] = [{"name": t.name, "description": t.description, "input_schema": t.schema} for t in ask.tools]
    if ask.search:
        body["tools"] = [*body.get("tools", ()), {"type": "web_search_20250305", "name": "web_search"}]
    if ask.force:
        body["tool_choice"] = {"type": "tool", "name": ask.force}
    if ask.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
    if ask.stop:
        body["stop_sequences"] = list(ask.stop)
    if ask.think:
        body["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    return body


def _message(turn: Turn) -> dict[str, Any]:
    match turn:
        case User():
            return {"role": "user", "content": _content(turn)}
        case Said():
            return {"role": "assistant", "content": turn.text}
        case Answer():
            return {"role": "assistant", "content": turn.native or _made(turn)}
        case Results():
            return {"role": "user", "content": [_result(result) for result in turn.results]}


def _made(answer: Answer) -> list[dict[str, Any]]:
    said = [{"type": "text", "text": answer.text}] if answer.text else []
    return said + [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in answer.calls]


def _source(media_type: str, data: bytes) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


def _linked(link: Link) -> dict[str, Any]:
    kind = "document" if link.media_type == "application/pdf" else "image"
    return {"type": kind, "source": {"type": "url", "url": link.url}}


def _content(turn: User) -> Any:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": turn.text}]
    if turn.image is not None:
        blocks.append({"type": "image", "source": _source("image/png", turn.image)})
    if turn.pdf is not None:
        blocks.append({"type": "document", "source": _source("application/pdf", turn.pdf)})
    if turn.link is not None:
        blocks.append(_linked(turn.link))
    return turn.text if len(blocks) == 1 else blocks


def _result(result: Result) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": result.text}]
    if result.image is not None:
        content.append({"type": "image", "source": _source("image/png", result.image)})
    if result.link is not None:
        content.append(_linked(result.link))
    return {"type": "tool_result", "tool_use_id": result.call.id, "content": content, "is_error": result.error}


def _answer(message: Any) -> Answer:
    blocks, usage = message.content, message.usage
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Answer(
        "".join(block.text for block in blocks if block.type == "text"),
        tuple(Call(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"),
        "".join(block.thinking for block in blocks if block.type == "thinking"),
        message.stop_reason,
        usage.input_tokens,
        usage.output_tokens,
        blocks,
        usage.input_tokens + read + written,
        read,
        usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else None,
        tuple((c.url, c.title, block.text) for block in blocks if block.type == "text" for c in block.citations or ()),
        tuple(block.input.get("query", "") for block in blocks if block.type == "server_tool_use"),
    )
