"""A daemon that has come up, and one that has not: what is said and recorded, and the exit codes of `serve`."""

from __future__ import annotations

import asyncio
import contextlib
import os

from llm_mux import __version__, paths
from llm_mux.auth.sealed import StoreError
from llm_mux.config import ConfigError, Loaded
from llm_mux.server import handover
from llm_mux.server.address import Unheard

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_PORT = 0, 1, 2, 3


def exit_code(error: Exception) -> int:
    if isinstance(error, Unheard):
        return EXIT_PORT if error.taken else EXIT_FAILED
    return EXIT_USAGE if isinstance(error, (ConfigError, StoreError)) else EXIT_FAILED


async def announce(loaded: Loaded, port: int, demo: bool) -> None:
    """This process is the daemon from now on. Who asks meanwhile is answered."""
    host = loaded.config.host
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    await asyncio.to_thread(_record, loaded, port, url)
    handover.tell_systemd(f"MAINPID={os.getpid()}\nREADY=1", os.environ)
    said = f"listening on {url}"
    if demo:
        from llm_mux.server.demo import curls

        said = f"{said}\n{curls(url, keyed=not loaded.config.disable_auth)}"
    # A terminal that was closed meanwhile ends the daemon by its signal, in order.
    with contextlib.suppress(OSError):
        print(said, flush=True)


def _record(loaded: Loaded, port: int, url: str) -> None:
    import psutil

    started = psutil.Process().create_time()
    record = paths.DaemonRecord(
        os.getpid(), loaded.config.host, port, url, started, __version__, str(loaded.path or "")
    )
    paths.write_daemon(record, os.environ)


_WAYS_IN = """
There is no model account yet. The quickest ways to one; it counts within seconds, nothing has to be started again:
  llm-mux login gemini --api-key   a key (or openai, anthropic, openrouter...; the command says where keys are made)
  llm-mux login codex              a plan without a key (ChatGPT; or copilot, kimi, xai)
  llm-mux serve --demo             instead of this one: a scripted model, to see every protocol work
Then point a tool here: llm-mux connect claude-code"""


def show_ways_in() -> None:
    """What a person does next who starts for the first time."""
    with contextlib.suppress(OSError):
        print(_WAYS_IN, flush=True)
