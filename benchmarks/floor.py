"""The floor of this stack: a bare relay on aiohttp's own server and client, with no idea of what it carries."""

import sys

import aiohttp
from aiohttp import web

SESSION: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)


def make(upstream: str) -> web.Application:
    async def relay(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: request.headers[name] for name in ("Content-Type",) if name in request.headers}
        async with request.app[SESSION].post(upstream + request.path, data=body, headers=headers) as reply:
            if reply.content_type != "text/event-stream":
                return web.Response(status=reply.status, body=await reply.read(), content_type=reply.content_type)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            async for piece in reply.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    async def life(app: web.Application):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            app[SESSION] = session
            yield

    app = web.Application(client_max_size=64 << 20)
    app.cleanup_ctx.append(life)
    app.router.add_post("/{tail:.*}", relay)
    return app


async def main() -> None:
    import asyncio
    import warnings

    warnings.simplefilter("ignore", ResourceWarning)
    runner = web.AppRunner(make(sys.argv[2]), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), backlog=1024).start()
    print("floor ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    run(main())
