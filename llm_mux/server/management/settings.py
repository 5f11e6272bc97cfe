"""The configuration over the management API: what is in effect, the file itself, its replacement, and debug records."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web
from msgspec import Struct

from llm_mux import log, paths
from llm_mux.config import ConfigError, masked
from llm_mux.config.tree import MAX_BYTES
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.server.management import masking
from llm_mux.server.management.endpoint import Call, Endpoint, Switch
from llm_mux.server.reload import RELOADER, State

_YAML = "application/yaml"


class Settings(Struct, frozen=True):
    """`config` is what is in effect, by the names of the file, secrets masked."""

    config: dict[str, Any]
    state: State


async def _config(call: Call) -> Settings:
    return Settings(masked(call.daemon.loaded.config), call.request.app[RELOADER].state)


async def _text(call: Call) -> web.Response:
    loaded = call.daemon.loaded
    return web.Response(text=masking.shown(loaded.text, loaded.config), content_type=_YAML)


async def _replace(call: Call) -> State:
    try:
        text = call.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise bad_request("The body is not UTF-8 text.") from None
    loaded = call.daemon.loaded
    return await _put(call, lambda: masking.completed(text, loaded.text, loaded.config, _file(call).name))


async def _restore(call: Call) -> State:
    previous = _previous(_file(call))
    try:
        text = await asyncio.to_thread(previous.read_text, "utf-8")
    except FileNotFoundError:
        message = "There is no earlier version: none has been replaced from here yet."
        raise MuxError(Kind.NOT_FOUND, message, code="no_previous_config") from None
    return await _put(call, lambda: text)


async def _put(call: Call, text: Any) -> State:
    """Puts a text in place and keeps the one that it replaces. What is wrong with it is a 400, line by line."""
    file = _file(call)
    before = call.daemon.loaded.text
    try:
        state: State = await call.request.app[RELOADER].take(text(), file)
    except ConfigError as error:
        problems = [str(each) for each in (error, *error.more)]
        raise MuxError(Kind.BAD_REQUEST, "\n".join(problems), code="invalid_config") from None
    except OSError as error:
        raise MuxError(Kind.INTERNAL, f"{file} cannot be written: {error.strerror}") from error
    await asyncio.to_thread(paths.write_private, _previous(file), before.encode())
    return state


def _file(call: Call) -> Path:
    path = call.daemon.loaded.path
    if path is None:
        raise MuxError(Kind.CONFLICT, "This daemon runs without a configuration file.", code="no_config_file")
    return path


def _previous(file: Path) -> Path:
    return file.with_name(f"{file.name}.previous")


async def _reload(call: Call) -> State:
    state: State = await call.request.app[RELOADER].reload()
    return state


async def _debug(call: Call) -> Switch:
    return Switch(log.debugging())


async def _set_debug(call: Call) -> Switch:
    log.set_debug(call.body.value)
    log.logger.info("debug.switched", value=call.body.value)
    return Switch(log.debugging())


async def _version(call: Call) -> Any:
    import platform

    from llm_mux import __version__

    return Version(__version__, platform.python_version(), platform.platform(terse=True), call.daemon.parts.started)


class Version(Struct, frozen=True):
    """`started` is unix seconds."""

    version: str
    python: str
    platform: str
    started: float


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/config",
        summary="The configuration in effect, secrets masked, and why a newer one is not",
        handle=_config,
        answer=Settings,
    ),
    Endpoint(
        method="GET",
        path="/config.yaml",
        summary="The configuration file, with marks in place of secrets",
        handle=_text,
        media=_YAML,
    ),
    Endpoint(
        method="PUT",
        path="/config.yaml",
        summary="Replace the configuration file and put it in effect; marks stand for the secrets that were there",
        handle=_replace,
        body=bytes,
        body_media=_YAML,
        most=MAX_BYTES,
        answer=State,
        errors=(409, 413),
    ),
    Endpoint(
        method="POST",
        path="/config.yaml/restore",
        summary="Put the version in effect that was replaced last",
        handle=_restore,
        answer=State,
        errors=(404, 409),
    ),
    Endpoint(
        method="POST",
        path="/reload",
        summary="Read the configuration and the stored secrets again",
        handle=_reload,
        answer=State,
    ),
    Endpoint(method="GET", path="/debug", summary="Whether debug records are logged", handle=_debug, answer=Switch),
    Endpoint(
        method="PUT",
        path="/debug",
        summary="Log debug records, or no longer, until the configuration changes it",
        handle=_set_debug,
        body=Switch,
        answer=Switch,
    ),
    Endpoint(method="GET", path="/version", summary="What runs here, and since when", handle=_version, answer=Version),
)
