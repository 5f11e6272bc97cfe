"""What `llm-mux doctor` looks at around the daemon: disk, limits, books, the service.

Rule: as in `diagnosis.py`, nothing is changed and nothing is spent.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from llm_mux.cli.diagnosis import Finding

_LEAST_FREE = 200 * 1024 * 1024
_FULL = 10 * 1024 * 1024
_LEAST_FILES = 1024
_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def disk(folder: Path) -> Finding:
    """Whether the books can grow."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(there, os.W_OK):
        return Finding("disk", "fault", f"{there} cannot be written to", f"give yourself the right: chown {there}")
    free = shutil.disk_usage(there).free
    if free < _LEAST_FREE:
        said = f"{free // 2**20} MB are left where {there} is"
        return Finding(
            "disk", "fault" if free < _FULL else "doubtful", said, "make room, or keep fewer days: usage.retention-days"
        )
    return Finding("disk", "ok", f"{free // 2**30} GB are left")


def open_files() -> Finding:
    """Each open stream takes two files."""
    if sys.platform == "win32":
        return Finding("limits", "ok", "none on open files")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _LEAST_FILES:
        advice = f"ulimit -n {min(65536, hard) if hard > 0 else 65536} before llm-mux serve"
        return Finding("limits", "doubtful", f"only {soft} files may be open at a time", advice)
    return Finding("limits", "ok", f"{soft} files may be open at a time")


def own_addresses(env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether tools would ask a proxy for the daemon of this machine."""
    proxies = [name for name in _PROXIES if env.get(name)]
    spared = {each.strip() for each in (env.get("NO_PROXY") or env.get("no_proxy") or "").split(",")}
    if proxies and not spared & {"*", "127.0.0.1", "127.0.0.0/8"}:
        said = f"${proxies[0]} is set, and tools started here may send requests for 127.0.0.1 there"
        yield Finding("proxy", "doubtful", said, "export NO_PROXY=127.0.0.1,localhost,::1")


def books(reason: str | None) -> Finding:
    if reason is None:
        return Finding("books", "ok", "the database answers")
    return Finding(
        "books", "fault", reason, "look at usage.database in the configuration; llm-mux usage tries it again"
    )


def configuration_in_effect(health: Mapping[str, object]) -> Iterator[Finding]:
    """Whether the running daemon goes by the file as it is now."""
    config = health.get("config")
    if not isinstance(config, Mapping):
        return
    if config.get("error"):
        yield Finding(
            "daemon", "fault", f"a newer configuration is not in effect: {config['error']}", "llm-mux config edit"
        )
    if config.get("needs_restart"):
        said = f"settings wait for a restart: {', '.join(map(str, config['needs_restart']))}"
        yield Finding("daemon", "doubtful", said, "llm-mux restart")


def started_by_the_system() -> Iterator[Finding]:
    """Whether a service that was installed runs, and with a Python that is still there."""
    from llm_mux.cli.startup import call, unit_of

    unit = unit_of(None)
    file = Path(unit.file)
    if not file.exists():
        return
    if call(unit.status)[0] != 0:
        yield Finding("service", "doubtful", f"{file} is installed and does not run", "llm-mux service start")
    elif sys.executable.encode() not in file.read_bytes():
        yield Finding("service", "doubtful", f"{file} starts another Python than this one", "llm-mux service install")
    else:
        yield Finding("service", "ok", f"runs ({file})")
