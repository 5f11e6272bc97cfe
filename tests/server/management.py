"""A daemon inside the test's loop whose management key is known, with its configuration in a file."""

import contextlib
import pathlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.store import SecretStore, open_store
from llm_mux.cli.invocation import known_types
from llm_mux.config import load
from llm_mux.server.app import make_app, start
from llm_mux.server.demo import start_demo
from tests.daemon import clean_environment, config_text

ROOT = "/v0/management"


@dataclass(frozen=True, slots=True)
class Managed:
    """`client` sends the management key; `bare` sends nothing of the kind."""

    url: str
    key: str
    app: web.Application
    home: pathlib.Path
    file: pathlib.Path
    store: SecretStore
    client: aiohttp.ClientSession
    bare: aiohttp.ClientSession

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """The JSON answer of a management route, which has to have `status`."""
        async with self.client.request(method, f"{ROOT}{path}", **more) as answer:
            assert answer.status == status, (method, path, answer.status, await answer.text())
            assert answer.headers["Cache-Control"] == "no-store"
            return await answer.json()


@contextlib.asynccontextmanager
async def managed(
    home: pathlib.Path, config: Mapping[str, Any] | str | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[Managed]:
    home.mkdir(exist_ok=True)
    environment = clean_environment(home, env)
    file = home / "config.yaml"
    file.write_text(config if isinstance(config, str) else config_text(config or {}), encoding="utf-8")
    store = open_store(env=environment, data_dir=paths.data_dir(environment))
    key = create_management_key(store)
    loaded = load(file, environment, known_types=known_types())
    async with start_demo() as demo_url:
        app = make_app(loaded, environment, store, demo_url)
        runner, port = await start(app, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{port}"
        try:
            async with (
                aiohttp.ClientSession(url, headers={"X-Management-Key": key}) as client,
                aiohttp.ClientSession(url) as bare,
            ):
                yield Managed(url, key, app, home, file, store, client, bare)
        finally:
            await runner.cleanup()
