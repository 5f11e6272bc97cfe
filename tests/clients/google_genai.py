"""Google's Python SDK for Gemini."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from google import genai
from google.genai import errors, types

from tests.clients.conversation import Abilities, Answer, Ask, Call, Result, Results, Said, Source, Turn, User, Words

VERSION = "v1beta" if os.environ.get("LLM_MUX_CLIENTS_DIRECT") == "1" else None
"""None: as the SDK likes. The mock, asked directly, knows only the older one."""


class GoogleGenAI:
    """`models/{m}:generateContent`, under the API version that the SDK chooses itself."""

    protocol = "gemini"
    words = Words("STOP", "STOP", "MAX_TOKENS", "SAFETY", "STOP")
    abilities = Abilities(video=True, links=("image/png", "application/pdf", "audio/wav", "video/mp4"))

    def __init__(self, url: str) -> None:
        options = types.HttpOptions(base_url=url, api_version=VERSION, timeout=30_000)
        self.client: Any = genai.Client(api_key="test", http_options=options)

    def ask(self, model: str, ask: Ask) -> Answer:
        return _answer([self.client.models.generate_content(**_body(model, ask))])

    def stream(self, model: str, ask: Ask) -> Answer:
        return _answer(list(self.client.models.generate_content_stream(**_body(model, ask))))

    @contextlib.contextmanager
    def pieces(self, model: str, ask: Ask) -> Iterator[Iterator[str]]:
        chunks = self.client.models.generate_content_stream(**_body(model, ask))
        with contextlib.closing(chunks):
            yield (chunk.text for chunk in chunks if chunk.text)

    def count(self, model: str, ask: Ask) -> int:
        return int(self.client.models.count_tokens(model=model, contents=_body(model, ask)["contents"]).total_tokens)

    def status_of(self, error: Exception) -> int | None:
        return error.code if isinstance(error, errors.APIError) else None

    def close(self) -> None:
        self.client.close()


def _body(model: str, ask: Ask) -> dict[str, Any]:
    config: dict[str, Any] = {"max_output_tokens": ask.max_tokens}
    config["automatic_function_calling"] = {"disable": True}
    if ask.system is not None:
        config["system_instruction"] = ask.system
    if ask.tools:
        declared = [
            {"name": t.name, "description": t.description, "parameters_json_schema": dict(t.schema)} for t in ask.tools
        ]
        config["tools"] = [{"function_declarations": declared}]
    if ask.search:
        config["tools"] = [*config.get("tools", ()), {"google_search": {}}]
    if ask.force:
        config["tool_config"] = {"function_calling_config": {"mode": "ANY", "allowed_function_names": [ask.force]}}
    if ask.schema is not None:
        config |= {"response_mime_type": "application/json", "response_json_schema": dict(ask.schema)}
    if ask.stop:
        config["stop_sequences"] = list(ask.stop)
    if ask.think:
        config["thinking_config"] = {"include_thoughts": True, "thinking_budget": 2000}
    contents = [_content(turn) for turn in ask.turns]
    return {"model": model, "contents": contents, "config": types.GenerateContentConfig(**config)}


def _content(turn: Turn) -> Any:
    match turn:
        case User():
            return types.Content(role="user", parts=_parts(turn))
        case Said():
            return types.Content(role="model", parts=[types.Part.from_text(text=turn.text)])
        case Answer():
            return turn.native or types.Content(role="model", parts=_made(turn))
        case Results():
            return types.Content(role="user", parts=[_result(result) for result in turn.results])


def _made(answer: Answer) -> list[types.Part]:
    said = [types.Part.from_text(text=answer.text)] if answer.text else []
    calls = [types.FunctionCall(id=c.id or None, name=c.name, args=dict(c.arguments)) for c in answer.calls]
    return said + [types.Part(function_call=call) for call in calls]


def _parts(turn: User) -> list[types.Part]:
    parts = [types.Part.from_text(text=turn.text)]
    if turn.image is not None:
        parts.append(types.Part.from_bytes(data=turn.image, mime_type="image/png"))
    if turn.pdf is not None:
        parts.append(types.Part.from_bytes(data=turn.pdf, mime_type="application/pdf"))
    if turn.video is not None:
        parts.append(types.Part.from_bytes(data=turn.video, mime_type="video/mp4"))
    if turn.link is not None:
        parts.append(types.Part.from_uri(file_uri=turn.link.url, mime_type=turn.link.media_type))
    return parts


def _result(result: Result) -> types.Part:
    response = types.FunctionResponse(
        id=result.call.id or None,
        name=result.call.name,
        response={"error" if result.error else "output": result.text},
    )
    if result.image is not None:
        blob = types.FunctionResponseBlob(data=result.image, mime_type="image/png")
        response.parts = [types.FunctionResponsePart(inline_data=blob)]
    if result.link is not None:
        file = types.FunctionResponseFileData(file_uri=result.link.url, mime_type=result.link.media_type)
        response.parts = [types.FunctionResponsePart(file_data=file)]
    return types.Part(function_response=response)


def _answer(chunks: list[Any]) -> Answer:
    parts: list[types.Part] = [
        part
        for chunk in chunks
        if chunk.candidates and chunk.candidates[0].content
        for part in chunk.candidates[0].content.parts or ()
    ]
    reasons = [
        chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates and chunk.candidates[0].finish_reason
    ]
    assert len(reasons) == 1, f"finish reasons: {reasons}"
    usage = next(chunk.usage_metadata for chunk in reversed(chunks) if chunk.usage_metadata is not None)
    output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return Answer(
        "".join(part.text for part in parts if part.text and not part.thought),
        tuple(
            Call(p.function_call.id or "", p.function_call.name or "", p.function_call.args or {})
            for p in parts
            if p.function_call
        ),
        "".join(part.text for part in parts if part.text and part.thought),
        reasons[0].value,
        usage.prompt_token_count or 0,
        output,
        types.Content(role="model", parts=parts),
        usage.prompt_token_count or 0,
        usage.cached_content_token_count,
        usage.thoughts_token_count,
        tuple(source for grounding in _groundings(chunks) for source in _sources(grounding, parts)),
        tuple(query for grounding in _groundings(chunks) for query in grounding.web_search_queries or ()),
    )


def _groundings(chunks: list[Any]) -> list[types.GroundingMetadata]:
    candidates = [chunk.candidates[0] for chunk in chunks if chunk.candidates]
    return [candidate.grounding_metadata for candidate in candidates if candidate.grounding_metadata]


def _sources(grounding: types.GroundingMetadata, parts: list[types.Part]) -> Iterator[Source]:
    """Offsets count bytes."""
    said = "".join(part.text for part in parts if part.text and not part.thought).encode()
    for support in grounding.grounding_supports or ():
        assert support.segment is not None
        words = said[support.segment.start_index or 0 : support.segment.end_index].decode()
        for index in support.grounding_chunk_indices or ():
            web = (grounding.grounding_chunks or [])[index].web
            assert web is not None
            yield web.uri or "", web.title or "", words
