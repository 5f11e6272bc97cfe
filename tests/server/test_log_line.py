"""The log's line of an exchange says under each name what the books say of it."""

import pathlib

from llm_mux.auth.client_keys import fixed_name
from llm_mux.server.serving import DAEMON
from tests.daemon import daemon
from tests.raw_server import RawServer
from tests.server.test_express import MESSAGE, answer
from tests.server.test_lane import connected, post

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":7,"max_tokens":9}'


async def test_a_line_says_what_the_row_says(tmp_path: pathlib.Path) -> None:
    async with RawServer(
        lambda *_: [answer({**MESSAGE, "usage": {"input_tokens": 11, "output_tokens": 5}})]
    ) as upstream:
        entry = {
            "type": "anthropic-compatible",
            "id": "up",
            "base-url": upstream.url,
            "models": ["upstreams-own"],
            "api-key": "k",
        }
        settings = {"providers": [entry], "aliases": {"m": "up/upstreams-own"}, "api-keys": ["the-key"]}
        async with daemon(tmp_path, settings) as mux, connected(mux.url) as client:
            await client.send(post(BODY, "Authorization: Bearer the-key", "X-Request-ID: named"))
            assert (await client.answer())[0] == 200
            parts = mux.app[DAEMON].parts
            parts.books.flush()
            (said,) = parts.recent.after(0, 1)
    assert said.pop("timestamp").endswith("+00:00")
    assert 0 < said.pop("ttft_ms") <= said.pop("duration_ms") < 60_000
    assert said == {
        "seq": 1,
        "client": fixed_name("the-key"),
        "level": "info",
        "event": "exchange.done",
        "request": "named",
        "model": "m",
        "served": "upstreams-own",
        "provider": "up",
        "account": "config",
        "protocol": "openai_chat",
        "path": "translate",
        "status": 200,
        "error": None,
        "attempts": 1,
        "stop": "stop",
        "input_tokens": 11,
        "output_tokens": 5,
        "cost_usd": None,
        "dropped": ["seed"],
        "failed": [],
    }
