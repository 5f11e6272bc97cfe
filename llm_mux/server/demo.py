"""The demo: a small scripted model server on a loopback port that speaks every format over real HTTP.

It is an upstream like any other, so that everything in front of it is the real thing. Only `serve --demo` starts it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from llm_mux import ir
from llm_mux.errors import MuxError
from llm_mux.gateway.fold import unfold
from llm_mux.server import demo_script
from llm_mux.server.serving import peek
from llm_mux.translators import registry
from llm_mux.translators.base import Hints, Translator
from llm_mux.wire import jsonx

_PAUSE_S = {"demo-slow": 0.25}
_USUAL_PAUSE_S = 0.01
_WORDS = 6


@asynccontextmanager
async def start_demo() -> AsyncIterator[str]:
    """A running demo server; its base URL."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/v1/responses", responses)
    app.router.add_post("/v1/messages", messages)
    app.router.add_post("/v1beta/models/{model}:{method}", gemini)
    app.router.add_post("/api/chat", ollama)
    app.router.add_post("/v1/embeddings", embed)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def chat(request: web.Request) -> web.StreamResponse:
    return await _generate(request, registry.get("openai_chat"), Hints())


async def responses(request: web.Request) -> web.StreamResponse:
    return await _generate(request, registry.get("openai_responses"), Hints())


async def messages(request: web.Request) -> web.StreamResponse:
    return await _generate(request, registry.get("anthropic"), Hints())


async def ollama(request: web.Request) -> web.StreamResponse:
    return await _generate(request, registry.get("ollama"), Hints(operation="chat"), streams=True)


async def gemini(request: web.Request) -> web.StreamResponse:
    stream = request.match_info["method"] == "streamGenerateContent"
    return await _generate(request, registry.get("gemini"), Hints(model=request.match_info["model"], stream=stream))


async def embed(request: web.Request) -> web.StreamResponse:
    translator = registry.get("openai_chat")
    embedder = translator.embedder
    if embedder is None:
        raise web.HTTPNotFound
    asked = embedder.decode_request(jsonx.repair(await request.read()), Hints(operation="embed"))
    vectors = tuple(demo_script.vector(text, asked.dimensions or 8) for text in asked.inputs)
    answer = ir.EmbedResponse(asked.model, vectors, tokens=sum(len(text) // 4 + 1 for text in asked.inputs))
    return web.Response(body=embedder.encode_response(answer, asked), content_type="application/json")


async def models(request: web.Request) -> web.StreamResponse:
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "demo"} for name in demo_script.MODELS]
    return web.json_response({"object": "list", "data": data})


async def _generate(
    request: web.Request, translator: Translator, hints: Hints, *, streams: bool = False
) -> web.StreamResponse:
    body = jsonx.repair(await request.read())
    try:
        peeked = peek(body, hints, streams)
        model, stream = peeked.model, peeked.stream
        if (refused := demo_script.refusal(model)) is not None:
            raise refused
        asked = translator.decode_request(body, Hints(model=model, stream=stream, operation=hints.operation))
    except MuxError as error:
        headers = {"Retry-After": str(int(error.retry_after))} if error.retry_after else {}
        content = translator.encode_error(error, "demo")
        return web.Response(
            status=translator.error_status(error), body=content, headers=headers, content_type="application/json"
        )
    answer = msgspec.structs.replace(demo_script.answer(asked), created=int(time.time()))
    if not stream:
        return web.Response(body=translator.encode_response(answer, asked), content_type="application/json")
    return await _stream(request, translator, asked, answer)


async def _stream(
    request: web.Request, translator: Translator, asked: ir.Request, answer: ir.Response
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": translator.stream_type})
    await response.prepare(request)
    encoder = translator.stream_encoder(asked)
    pause = _PAUSE_S.get(asked.model, _USUAL_PAUSE_S)
    events = _in_words(unfold(answer))
    cut_at = len(events) // 2 if asked.model == "demo-cut" else None
    for number, event in enumerate(events):
        if number == cut_at:
            if request.transport is not None:
                request.transport.close()
            return response
        if piece := encoder.encode([event]):
            await response.write(piece)
        if isinstance(event, ir.TextDelta | ir.ReasoningDelta | ir.ArgumentsDelta):
            await asyncio.sleep(pause)
    await response.write_eof()
    return response


def _in_words(events: list[ir.Event]) -> list[ir.Event]:
    """Text in small pieces, as a model would say it."""
    out: list[ir.Event] = []
    for event in events:
        if isinstance(event, ir.TextDelta | ir.ReasoningDelta | ir.ArgumentsDelta):
            text = event.text
            size = max(_WORDS, len(text) // 60)
            kind = type(event)
            out.extend(kind(event.index, text[at : at + size]) for at in range(0, len(text), size))
        else:
            out.append(event)
    return out


def curls(url: str, *, keyed: bool = False) -> str:
    """One line to paste for each protocol. `keyed`: the daemon asks for client keys."""
    question = '[{"role":"user","content":"Hello from the demo"}]'
    calls = (
        ("/v1/chat/completions", "", f'{{"model":"demo","messages":{question}}}'),
        ("/v1/responses", "", '{"model":"demo","input":"Hello from the demo"}'),
        ("/v1/messages", "anthropic-version: 2023-06-01", f'{{"model":"demo","max_tokens":100,"messages":{question}}}'),
        (
            "/v1beta/models/demo:generateContent",
            "",
            '{"contents":[{"role":"user","parts":[{"text":"Hello from the demo"}]}]}',
        ),
        ("/api/chat", "", f'{{"model":"demo","stream":false,"messages":{question}}}'),
    )
    key = "authorization: Bearer YOUR-KEY" if keyed else ""
    lines = ["Try it (one line a protocol" + (", with one of your api-keys for YOUR-KEY):" if keyed else "):")]
    for path, version, body in calls:
        headers = "".join(f" -H '{each}'" for each in ("content-type: application/json", version, key) if each)
        lines.append(f"  curl {url}{path}{headers} -d '{body}'")
    lines.append("or a coding tool at work:\n  llm-mux run claude-code -- -p 'list the files here'")
    return "\n".join(lines)
