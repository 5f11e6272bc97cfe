"""Reading the configuration again while the daemon runs: when its file, the price book or
the stored secrets change, and on demand.

Rule: what cannot be used changes nothing; the reason is kept in `state` until something good is read. A file that was
written by the daemon itself, or that came back to what is in effect, is no change: texts are compared, not times. Nor
are the tokens that the daemon renews.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from llm_mux import config, log, paths
from llm_mux.auth.sealed import StoreError
from llm_mux.auth.store import changes
from llm_mux.config import ConfigError, Loaded
from llm_mux.server.build import Drawn, assemble, draw
from llm_mux.server.serving import Daemon

LOOK_S = 1.0
SETTLE_S = 0.1

Signature = tuple[int, int, int]


class State(Struct, frozen=True, kw_only=True):
    """What is in effect since when (unix seconds), and why a newer reading is not: `error`, at `refused_at`; of stored
    keys and logins `secrets_error`."""

    file: str | None
    loaded_at: float
    needs_restart: tuple[str, ...] = ()
    error: str | None = None
    refused_at: float | None = None
    secrets_error: str | None = None

    @property
    def refused(self) -> bool:
        """Whether something newer is there that cannot be used."""
        return self.error is not None or self.secrets_error is not None


class Reloader:
    """Keeps `daemon` what its configuration says. `spread` tells others that there is something new to read. Used from
    one event loop."""

    def __init__(self, daemon: Daemon, *, look_s: float = LOOK_S) -> None:
        self._daemon = daemon
        self._look_s = look_s
        self._turn = asyncio.Lock()
        self.spread: Callable[[], Awaitable[None]] | None = None
        path = daemon.loaded.path
        env = daemon.parts.env
        self._watched = (*([path] if path is not None else []), paths.prices_file(env), changes(paths.data_dir(env)))
        self._seen = self._signatures()
        self.state = State(file=str(path) if path is not None else None, loaded_at=time.time())

    async def run(self) -> None:
        """Look at the files again and again; one task, ended by cancelling it."""
        while True:
            await asyncio.sleep(self._look_s)
            now = await asyncio.to_thread(self._signatures)
            if now == self._seen:
                continue
            while (later := await self._a_moment_later()) != now:
                now = later
            before, self._seen = self._seen, now
            if now[-2:] != before[-2:]:
                await self.refresh()
            if now[:-2] != before[:-2]:
                await self.reload(secrets=False)

    async def _a_moment_later(self) -> list[Signature | None]:
        """Editors and deployments write in several steps."""
        await asyncio.sleep(SETTLE_S)
        return await asyncio.to_thread(self._signatures)

    def _signatures(self) -> list[Signature | None]:
        return [_signature(path) for path in self._watched]

    async def catch_up(self) -> None:
        """Take up the stored secrets now, if they changed since somebody looked."""
        if (await asyncio.to_thread(self._signatures))[-1] != self._seen[-1]:
            await self.refresh()

    async def refresh(self) -> str | None:
        """Take up the secret store and the price book as they are, whatever became of the file; why not, if so."""
        async with self._turn:
            # What the daemon itself has just stored is read here and not once more.
            stored = (await asyncio.to_thread(self._signatures))[-2:]
            self._seen = [*self._seen[:-2], *stored]
            try:
                drawn = await draw(self._daemon.loaded, self._daemon.parts)
            except (ConfigError, StoreError) as error:
                self.state = replace(self.state, secrets_error=str(error))
                log.logger.warning("secrets.refused", reason=str(error))
            except Exception as error:
                log.logger.exception("secrets.broken")
                self.state = replace(self.state, secrets_error=_unexpected(error))
            else:
                self._become(drawn)
                self.state = replace(self.state, secrets_error=None)
                log.logger.info("secrets.loaded", accounts=len(self._daemon.gateway.accounts))
                await self._others()
        return self.state.secrets_error

    async def reload(self, *, secrets: bool = True) -> State:
        """Read everything again and put it in place, or note why not. `secrets` False: only if the text changed, and
        not while it is being written: the next look finds it whole."""
        async with self._turn:
            try:
                loaded = await asyncio.to_thread(config.reload, self._daemon.loaded, self._daemon.parts.env)
                if not secrets and await self._has_moved():
                    pass
                elif secrets or loaded.text != self._daemon.loaded.text:
                    self._put(await draw(loaded, self._daemon.parts))
                    await self._others()
                elif self.state.error is not None:
                    self.state = replace(self.state, error=None, refused_at=None)
            except (ConfigError, StoreError, OSError) as error:
                if secrets or not await self._has_moved():
                    self._refuse(str(error))
            except Exception as error:
                log.logger.exception("config.broken")
                self._refuse(_unexpected(error))
        return self.state

    async def _has_moved(self) -> bool:
        """Whether the file is another one than was looked at."""
        return (await asyncio.to_thread(self._signatures))[:-2] != self._seen[:-2]

    async def take(self, change: Callable[[Loaded], str], file: Path, keep: Callable[[Path, bytes], None]) -> State:
        """Write what `change` makes of what is in effect to the file, once `keep` has what is there, and put it in
        place. Changes come one after another. Raises what `change` does, ConfigError, StoreError or OSError: nothing
        changed."""
        async with self._turn:
            text = change(self._daemon.loaded)
            loaded = await asyncio.to_thread(config.reload, self._daemon.loaded, self._daemon.parts.env, text)
            drawn = await draw(loaded, self._daemon.parts)
            await asyncio.to_thread(_replace, file, text, keep)
            self._put(drawn)
            await self._others()
        return self.state

    async def _others(self) -> None:
        """The other workers read it too."""
        if self.spread is not None:
            await self.spread()

    def _become(self, drawn: Drawn) -> None:
        self._daemon.become(assemble(drawn, self._daemon.parts, self._daemon.gateway.accounts))

    def _put(self, drawn: Drawn) -> None:
        old, new = self._daemon.loaded, drawn.loaded
        self._become(drawn)
        if new.config.debug != old.config.debug:
            log.set_debug(new.config.debug)
        self.state = State(file=self.state.file, loaded_at=time.time(), needs_restart=new.needs_restart)
        for warning in new.warnings:
            if warning not in old.warnings:
                log.logger.warning("config.doubtful", reason=warning)
        log.logger.info("config.loaded", file=self.state.file, needs_restart=list(new.needs_restart))

    def _refuse(self, reason: str) -> None:
        self.state = replace(self.state, error=reason, refused_at=time.time())
        log.logger.warning("config.refused", file=self.state.file, reason=reason)


def _replace(file: Path, text: str, keep: Callable[[Path, bytes], None]) -> None:
    """What is kept is what the file has, also where somebody wrote it that nobody has read or could. A file that is a
    link stays one, and one that is mounted by itself, as into a container, can only be written, not replaced."""
    content = text.encode()
    with suppress(FileNotFoundError):
        before = file.read_bytes()
        if before != content:
            keep(file, before)
    try:
        paths.write_private(file.resolve(), content)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        file.write_bytes(content)


def _unexpected(error: Exception) -> str:
    return f"reading it failed unexpectedly ({type(error).__name__}); the log has the details"


def _signature(path: Path) -> Signature | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


RELOADER: web.AppKey[Reloader] = web.AppKey("reloader", Reloader)
