"""AWS's Python SDK, with a signature that nobody checks: the access key's id is the client key."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.conversation import Abilities, Answer, Ask, Call, Result, Results, Said, Turn, User, Words


class BedrockRuntime:
    """`/model/{id}/converse` and `/converse-stream`."""

    protocol = "bedrock"
    words = Words("end_turn", "tool_use", "max_tokens", "content_filtered", "stop_sequence")
    abilities = Abilities(reasoned=False, video=True, search=False)

    def __init__(self, url: str, **options: Any) -> None:
        self.client: Any = boto3.client(
            "bedrock-runtime",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="any",
            config=Config(retries={"max_attempts": 0}, read_timeout=30, **options),
        )

    def ask(self, model: str, ask: Ask) -> Answer:
        found = self.client.converse(**_body(model, ask))
        return _answer(found["output"]["message"]["content"], found["stopReason"], found["usage"])

    def stream(self, model: str, ask: Ask) -> Answer:
        with contextlib.closing(self.client.converse_stream(**_body(model, ask))["stream"]) as events:
            return _gathered(events)

    @contextlib.contextmanager
    def pieces(self, model: str, ask: Ask) -> Iterator[Iterator[str]]:
        with contextlib.closing(self.client.converse_stream(**_body(model, ask))["stream"]) as events:
            deltas = (event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event)
            yield (delta["text"] for delta in deltas if "text" in delta)

    def count(self, model: str, ask: Ask) -> int:
        kept = ("messages", "system", "toolConfig", "additionalModelRequestFields")
        converse = {key: value for key, value in _body(model, ask).items() if key in kept}
        return int(self.client.count_tokens(modelId=model, input={"converse": converse})["inputTokens"])

    def status_of(self, error: Exception) -> int | None:
        if not isinstance(error, ClientError):
            return None
        status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
        # The API has a status of its own for a model that failed.
        return 500 if status == 424 else status or None

    def close(self) -> None:
        self.client.close()


def _body(model: str, ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "modelId": model,
        "messages": [_message(turn) for turn in ask.turns],
        "inferenceConfig": {"maxTokens": ask.max_tokens},
    }
    if ask.system is not None:
        body["system"] = [{"text": ask.system}]
    if ask.tools:
        specs = [{"name": t.name, "description": t.description, "inputSchema": {"json": t.schema}} for t in ask.tools]
        body["toolConfig"] = {"tools": [{"toolSpec": spec} for spec in specs]}
    if ask.force:
        body["toolConfig"]["toolChoice"] = {"tool": {"name": ask.force}}
    if ask.schema is not None:
        schema = {"name": "answer", "schema": json.dumps(ask.schema)}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    if ask.stop:
        body["inferenceConfig"]["stopSequences"] = list(ask.stop)
    if ask.think:
        body["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    return body


def _message(turn: Turn) -> dict[str, Any]:
    match turn:
        case User():
            return {"role": "user", "content": _content(turn)}
        case Said():
            return {"role": "assistant", "content": [{"text": turn.text}]}
        case Answer():
            return {"role": "assistant", "content": turn.native or _made(turn)}
        case Results():
            return {"role": "user", "content": [_result(result) for result in turn.results]}


def _made(answer: Answer) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"text": answer.text}] if answer.text else []
    return said + [{"toolUse": {"toolUseId": c.id, "name": c.name, "input": c.arguments}} for c in answer.calls]


def _content(turn: User) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [{"text": turn.text}]
    if turn.image is not None:
        blocks.append({"image": {"format": "png", "source": {"bytes": turn.image}}})
    if turn.pdf is not None:
        blocks.append({"document": {"format": "pdf", "name": "report", "source": {"bytes": turn.pdf}}})
    if turn.video is not None:
        blocks.append({"video": {"format": "mp4", "source": {"bytes": turn.video}}})
    return blocks


def _result(result: Result) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"text": result.text}]
    if result.image is not None:
        content.append({"image": {"format": "png", "source": {"bytes": result.image}}})
    status = "error" if result.error else "success"
    return {"toolResult": {"toolUseId": result.call.id, "content": content, "status": status}}


def _answer(blocks: list[dict[str, Any]], stop: str, usage: dict[str, Any]) -> Answer:
    calls = [block["toolUse"] for block in blocks if "toolUse" in block]
    thoughts = [block["reasoningContent"].get("reasoningText", {}) for block in blocks if "reasoningContent" in block]
    return Answer(
        "".join(_text(block) for block in blocks),
        tuple(Call(call["toolUseId"], call["name"], call["input"]) for call in calls),
        "".join(thought.get("text", "") for thought in thoughts),
        stop,
        usage["inputTokens"],
        usage["outputTokens"],
        blocks,
        usage["inputTokens"] + usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0),
        usage.get("cacheReadInputTokens"),
        None,
        tuple(
            (one["location"]["web"]["url"], one["title"], _text(block))
            for block in blocks
            for one in block.get("citationsContent", {}).get("citations", ())
            if "web" in one["location"]
        ),
    )


def _text(block: dict[str, Any]) -> str:
    """Words, with or without citations around them."""
    cited = block.get("citationsContent", {}).get("content", ())
    return str(block.get("text", "")) + "".join(part.get("text", "") for part in cited)


def _gathered(events: Any) -> Answer:
    """The answer that the events of a stream make; the SDK leaves that to its users."""
    blocks: dict[int, dict[str, Any]] = {}
    stop, usage = "", {"inputTokens": 0, "outputTokens": 0}
    for event in events:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        elif "contentBlockDelta" in event:
            delta = event["contentBlockDelta"]
            _grow(blocks.setdefault(delta["contentBlockIndex"], {}), delta["delta"])
        elif "messageStop" in event:
            stop = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            usage = event["metadata"]["usage"]
    for block in blocks.values():
        if cited := block.pop("citations", None):
            block["citationsContent"] = {"content": [{"text": block.pop("text", "")}], "citations": cited}
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return _answer([blocks[index] for index in sorted(blocks)], stop, usage)


def _grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "citation" in delta:
        block.setdefault("citations", []).append(delta["citation"])
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "reasoningContent" in delta:
        thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})
        for name in ("text", "signature"):
            if name in delta["reasoningContent"]:
                held = thought["reasoningText"]
                held[name] = held.get(name, "") + delta["reasoningContent"][name]
