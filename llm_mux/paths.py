"""Where llm-mux keeps its files, and the one small file that says which daemon runs.

Rule: nobody else decides on a folder. `$LLM_MUX_HOME` puts config, data, state, cache and logs under one folder (tests
and containers use it); otherwise the platform's own folders are used. Functions only name places; `private_dir` and
`write_private` create them, readable by their owner alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

APP = "llm-mux"
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def _place(kind: str, env: Mapping[str, str] | None) -> Path:
    home = (os.environ if env is None else env).get("LLM_MUX_HOME")
    if home:
        return Path(home).expanduser().absolute() / kind
    import platformdirs

    folder = getattr(platformdirs, f"user_{kind}_path")(APP, appauthor=False)
    assert isinstance(folder, Path)
    return folder


def config_file(env: Mapping[str, str] | None = None) -> Path:
    """`$LLM_MUX_CONFIG`, else config.yaml under `$LLM_MUX_HOME`, else the one in the platform's config folder."""
    values = os.environ if env is None else env
    chosen = values.get("LLM_MUX_CONFIG")
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = values.get("LLM_MUX_HOME")
    if home:
        return Path(home).expanduser().absolute() / "config.yaml"
    return _place("config", env) / "config.yaml"


def data_dir(env: Mapping[str, str] | None = None) -> Path:
    """What must survive: the database and the encrypted secrets."""
    return _place("data", env)


def prices_file(env: Mapping[str, str] | None = None) -> Path:
    """The price book of the last update; there is none until somebody asks for one."""
    return data_dir(env) / "prices.json"


def state_dir(env: Mapping[str, str] | None = None) -> Path:
    """What describes the running daemon."""
    return _place("state", env)


def cache_dir(env: Mapping[str, str] | None = None) -> Path:
    """What can be made again: model lists."""
    return _place("cache", env)


def log_dir(env: Mapping[str, str] | None = None) -> Path:
    return _place("log", env)


def daemon_file(env: Mapping[str, str] | None = None) -> Path:
    return state_dir(env) / "daemon.json"


def private_dir(folder: Path) -> Path:
    """The folder, made with mode 0700 when it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(path: Path, content: bytes, *, lasting: bool = True) -> None:
    """Replace a file in one step, mode 0600, on the disk before the old one goes: a crash leaves the old or the new.
    Not `lasting`: what means nothing once the machine has crashed need not wait for the disk."""
    private_dir(path.parent)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)
            stream.flush()
            if lasting:
                os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if lasting:
        _sync_dir(path.parent)


def set_aside(path: Path) -> str:
    """Move a file that cannot be used out of the way, for whoever wants to look at it; where it is now."""
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(aside)
    except OSError:
        return str(path)
    return str(aside)


def sweep(folder: Path, older_than: float) -> int:
    """Take away what writers left that were killed before `older_than` (unix seconds); how many there were."""
    count = 0
    for left in folder.glob(".*.tmp") if folder.is_dir() else ():
        if _PARTIAL.fullmatch(left.name) and left.stat().st_mtime < older_than:
            left.unlink(missing_ok=True)
            count += 1
    return count


def write_quickly(path: Path, content: bytes) -> None:
    """Replace a file in one step, for this process's successor; a crash of the machine may lose it. A folder that is
    gone is no error."""
    partial = path.with_name(f".{path.name}.tmp")
    with contextlib.suppress(OSError):
        partial.write_bytes(content)
        partial.replace(path)


def _sync_dir(folder: Path) -> None:
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class DaemonRecord(NamedTuple):
    """The running daemon. `started` is the creation time of its process (epoch seconds), so a reused pid is noticed."""

    pid: int
    host: str
    port: int
    url: str
    started: float
    version: str
    config: str


def write_daemon(record: DaemonRecord, env: Mapping[str, str] | None = None) -> None:
    write_private(daemon_file(env), json.dumps(record._asdict(), indent=2).encode() + b"\n", lasting=False)


def read_daemon(env: Mapping[str, str] | None = None) -> DaemonRecord | None:
    """The record that the last daemon left, whether or not it still runs; None when there is none or it is damaged."""
    try:
        found = json.loads(daemon_file(env).read_bytes())
        return DaemonRecord(**{name: found[name] for name in DaemonRecord._fields})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_daemon(pid: int, env: Mapping[str, str] | None = None) -> None:
    """Take the record away if it is still this process's own."""
    record = read_daemon(env)
    if record is not None and record.pid == pid:
        daemon_file(env).unlink(missing_ok=True)
