"""The configuration over the management API: what is in effect, the file itself, its replacement, and debug records."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from llm_mux import log, paths
from llm_mux.config import ConfigError, Loaded, masked, reload
from llm_mux.config.tree import MAX_BYTES
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.server import together
from llm_mux.server.build import draw
from llm_mux.server.management import masking
from llm_mux.server.management.endpoint import Call, Endpoint, Switch
from llm_mux.server.reload import RELOADER, State

_YAML = "application/yaml"
MOST_VERSIONS = 5


class Settings(Struct, frozen=True):
    """`config` is what is in effect, by the names of the file, secrets masked."""

    config: dict[str, Any]
    state: State


async def _config(call: Call) -> Settings:
    return Settings(masked(call.daemon.loaded.config), call.request.app[RELOADER].state)


async def _text(call: Call) -> web.Response:
    loaded = call.daemon.loaded
    headers = {"ETag": _tag(loaded.text)}
    return web.Response(text=masking.shown(loaded.text, loaded.config), content_type=_YAML, headers=headers)


async def _replace(call: Call) -> State:
    text, name = _utf8(call.body), _file(call).name
    expected = call.request.headers.get("If-Match")

    def change(loaded: Loaded) -> str:
        if expected is not None and expected != _tag(loaded.text):
            message = "The file has changed since it was read; look at it again first."
            raise MuxError(Kind.CONFLICT, message, code="config_changed")
        return masking.completed(text, loaded.text, loaded.config, name)

    return await put(call, change)


async def _check(call: Call) -> Findings:
    """As a replacement, but nothing is written and nothing put in effect."""
    loaded, env = call.daemon.loaded, call.daemon.parts.env
    try:
        text = masking.completed(_utf8(call.body), loaded.text, loaded.config, _file(call).name)
        fresh = await asyncio.to_thread(reload, loaded, env, text)
        await draw(fresh, call.daemon.parts)
    except ConfigError as error:
        return Findings([_problem(each) for each in (error, *error.more)])
    return Findings([], fresh.warnings, fresh.needs_restart)


def _problem(error: ConfigError) -> Problem:
    hint = f'; did you mean "{error.suggestion}"?' if error.suggestion else ""
    elsewhere = f"{error.place}: " if error.line is None else ""
    return Problem(error.line, error.column, f"{elsewhere}{error.message}{hint}")


def _utf8(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise bad_request("The body is not UTF-8 text.") from None


def _tag(text: str) -> str:
    """Names a version of the file. It is salted, so that nothing about a secret can be tried out on it."""
    return f'"{masking.mark(text)}"'


async def _restore(call: Call) -> State:
    text = await asyncio.to_thread(_earlier, _file(call), call.query.version)
    return await put(call, lambda _: text)


async def _show_earlier(call: Call) -> web.Response:
    """With marks in place of secrets, those that only that version had among them."""
    text = await asyncio.to_thread(_earlier, _file(call), call.query.version)
    try:
        then = await asyncio.to_thread(reload, call.daemon.loaded, call.daemon.parts.env, text)
    except ConfigError as error:
        message = f"This version cannot be shown, for it is no longer understood: {error}"
        raise MuxError(Kind.CONFLICT, message, code="invalid_config") from None
    return web.Response(text=masking.shown(text, then.config), content_type=_YAML)


def _earlier(file: Path, version: int) -> str:
    try:
        return _previous(file, version).read_text("utf-8")
    except FileNotFoundError:
        message = "There is no such earlier version: none has been replaced from here yet."
        if version > 1:
            message = (
                f"There is no version {version}; GET /v0/management/config.yaml/versions lists those that are kept."
            )
        raise MuxError(Kind.NOT_FOUND, message, code="no_previous_config") from None
    except UnicodeDecodeError:
        message = f"{_previous(file, version)} is not UTF-8 text."
        raise MuxError(Kind.CONFLICT, message, code="invalid_config") from None


async def _versions(call: Call) -> Versions:
    return Versions(await asyncio.to_thread(lambda: list(_listed(_file(call)))))


def _listed(file: Path) -> Iterator[Version]:
    for number in range(1, MOST_VERSIONS + 1):
        with contextlib.suppress(FileNotFoundError):
            found = _previous(file, number).stat()
            yield Version(number, found.st_mtime, found.st_size)


async def put(call: Call, change: Callable[[Loaded], str]) -> State:
    """Puts a text in place and keeps the one that it replaces. What is wrong with it is a 400, line by line."""
    file = _file(call)
    try:
        state: State = await call.request.app[RELOADER].take(change, file, _keep)
    except ConfigError as error:
        problems = [str(each) for each in (error, *error.more)]
        raise MuxError(Kind.BAD_REQUEST, "\n".join(problems), code="invalid_config") from None
    except OSError as error:
        raise MuxError(Kind.INTERNAL, f"{file} cannot be written: {error.strerror}") from error
    return state


def _keep(file: Path, content: bytes) -> None:
    """As version 1; the others move on, and the oldest goes."""
    for number in range(MOST_VERSIONS - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            _previous(file, number).replace(_previous(file, number + 1))
    paths.write_private(_previous(file, 1), content)


def _file(call: Call) -> Path:
    path = call.daemon.loaded.path
    if path is None:
        raise MuxError(Kind.CONFLICT, "This daemon runs without a configuration file.", code="no_config_file")
    return path


def _previous(file: Path, version: int) -> Path:
    return file.with_name(f"{file.name}.previous" + (f".{version}" if version > 1 else ""))


async def _reload(call: Call) -> State:
    state: State = await call.request.app[RELOADER].reload()
    return state


async def _debug(call: Call) -> Switch:
    return Switch(log.debugging())


async def _set_debug(call: Call) -> Switch:
    log.set_debug(call.body.value)
    await together.tell(call.daemon, debug=call.body.value)
    log.logger.info("debug.switched", value=call.body.value)
    return Switch(log.debugging())


async def _version(call: Call) -> Any:
    import platform

    from llm_mux import __version__

    daemon, here = call.daemon, call.request
    return About(
        version=__version__,
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        started=daemon.parts.started,
        address=f"{here.scheme}://{here.host}",
        keys_wanted=not daemon.guard.open,
        config=None if daemon.loaded.path is None else str(daemon.loaded.path),
    )


class About(Struct, frozen=True):
    """`started` is unix seconds; `address` is where the request came to; `keys_wanted`: whether models are asked with a
    client key only; `config` is the file."""

    version: str
    python: str
    platform: str
    started: float
    address: str
    keys_wanted: bool
    config: str | None


class Problem(Struct, frozen=True):
    """What is wrong, where in the text (from 1), if it is there."""

    line: int | None
    column: int | None
    message: str


class Findings(Struct, frozen=True):
    """A text without `problems` would be taken. `needs_restart` names settings that wait for one."""

    problems: list[Problem]
    warnings: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """`version` 1 is the one that was replaced last."""

    version: Annotated[int, Meta(ge=1, le=MOST_VERSIONS)] = 1


class Version(Struct, frozen=True):
    """An earlier version of the file, replaced at `replaced` (unix seconds)."""

    version: int
    replaced: float
    bytes: int


class Versions(Struct, frozen=True):
    versions: list[Version]


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
        more='A mark such as `"***1f2e3d4c5b6a"` stands in place of each secret. The `ETag` is for `If-Match` of '
        "the PUT.",
        handle=_text,
        media=_YAML,
    ),
    Endpoint(
        method="PUT",
        path="/config.yaml",
        summary="Replace the configuration file and put it in effect; marks stand for the secrets that were there",
        more="The text is kept as it is sent, comments included; a mark stands for the secret that was there. 400 "
        "names file, line and column of every problem, and nothing is changed; 409 when `If-Match` is not the "
        "`ETag` that the file was read with.",
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
        summary="Put an earlier version in effect, usually the one that was replaced last",
        more="The last (`config.yaml.previous`), or `version`.",
        handle=_restore,
        query=Which,
        answer=State,
        errors=(404, 409),
    ),
    Endpoint(
        method="GET",
        path="/config.yaml/previous",
        summary="An earlier version of the configuration file, with marks in place of secrets",
        more="The last, or `version`.",
        handle=_show_earlier,
        query=Which,
        media=_YAML,
        errors=(404, 409),
    ),
    Endpoint(
        method="GET",
        path="/config.yaml/versions",
        summary="The earlier versions that are kept",
        more="The last five that were replaced from here.",
        handle=_versions,
        answer=Versions,
        errors=(409,),
    ),
    Endpoint(
        method="POST",
        path="/config.yaml/check",
        summary="What a configuration file with this text would have wrong, line by line; nothing is changed",
        more="Problems come by line and column, with warnings and what would wait for a restart.",
        handle=_check,
        body=bytes,
        body_media=_YAML,
        most=MAX_BYTES,
        answer=Findings,
        errors=(409, 413),
    ),
    Endpoint(
        method="POST",
        path="/reload",
        summary="Read the configuration and the stored secrets again",
        more="It says why not, if it cannot.",
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
    Endpoint(
        method="GET",
        path="/version",
        summary="What runs here, and since when",
        more="With its address and file, and whether client keys are wanted.",
        handle=_version,
        answer=About,
    ),
)
