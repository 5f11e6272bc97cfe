"""What `llm-mux doctor` looks at of what people commonly get wrong around the daemon: addresses, variables, keys,
owners, containers.

Rule: as in `diagnosis.py`, nothing is changed and nothing is spent.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_mux.cli.diagnosis import Finding

if TYPE_CHECKING:
    from llm_mux.config import Config

_BARE = ("ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "OLLAMA_HOST")
"""Variables of tools that add the version to the address themselves."""
_VERSIONED = ("OPENAI_BASE_URL", "OPENAI_API_BASE", "AIDER_OPENAI_API_BASE", "OPENAI_API_BASE_URL")
"""Of those that want it in the address."""
_OWN_NAMES = ("127.0.0.1", "localhost", "::1", "0.0.0.0")  # noqa: S104 - compared, not bound
_ELSEWHERE = re.compile(r"env:|keyring:|file:|vault:|aws:|!")
_TLS_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def owners(folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Whether the daemon's folders are folders, and this user's: `sudo llm-mux` once leaves them to root."""
    for what, folder in folders.items():
        if not folder.exists():
            continue
        if not folder.is_dir():
            yield Finding("files", "fault", f"{folder} is to be the {what} folder and is none", f"move {folder} away")
        elif sys.platform != "win32" and folder.stat().st_uid != os.geteuid():
            said = f"{folder} belongs to another user (number {folder.stat().st_uid})"
            yield Finding("files", "fault", said, f'sudo chown -R "$USER" {folder}')
        elif not os.access(folder, os.R_OK | os.X_OK):
            yield Finding("files", "fault", f"{folder} cannot be read", f"chmod 700 {folder}")


def usable(folder: Path) -> bool:
    """Whether there is any sense in looking at what is in it."""
    return not folder.exists() or (folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK))


def readable_keys(file: Path | None, config: Config) -> Iterator[Finding]:
    """Keys that stand in a configuration file which others can read."""
    if file is None or sys.platform == "win32" or not stat.S_IMODE(file.stat().st_mode) & 0o077:
        return
    keys = [*config.api_keys, *(each.api_key for each in config.providers)]
    keys += [each.key for entry in config.providers for each in entry.api_keys]
    if any(key and not _ELSEWHERE.match(key) for key in keys):
        yield Finding("files", "doubtful", f"{file} has keys in it and can be read by others", f"chmod 600 {file}")


def variables(env: Mapping[str, str], port: int) -> Iterator[Finding]:
    """Addresses of this daemon in variables of tools, with a version where none belongs or without one, and files of
    certificates that are not there."""
    for name in (*_BARE, *_VERSIONED):
        value = env.get(name, "")
        url = urlsplit(value if "://" in value else f"http://{value}")
        if not value or url.hostname not in _OWN_NAMES or url.port != port:
            continue
        path = url.path.rstrip("/")
        right = f"http://{url.netloc}{'/v1' if name in _VERSIONED else ''}"
        if url.scheme == "https":
            yield Finding(
                "tools", "doubtful", f"${name} says https, and the daemon speaks http", f"export {name}={right}"
            )
        elif path != ("/v1" if name in _VERSIONED else ""):
            said = f"${name} is {value}; what reads it {'wants' if name in _VERSIONED else 'adds'} the version"
            yield Finding("tools", "doubtful", said, f"export {name}={right}")
    for name in _TLS_FILES:
        if env.get(name) and not Path(env[name]).exists():
            yield Finding("tls", "doubtful", f"${name} names {env[name]}, which is not there", f"unset {name}")


def localhost(host: str, port: int) -> Iterator[Finding]:
    """Whether `localhost` is this machine, and whether somebody else answers where only that name leads."""
    try:
        socket.getaddrinfo("localhost", None)
    except OSError:
        yield Finding(
            "localhost", "doubtful", "the name localhost leads nowhere", "add `127.0.0.1 localhost` to the hosts file"
        )
        return
    if host != "127.0.0.1":
        return
    try:
        with socket.create_connection(("::1", port), timeout=1):
            pass
    except OSError:
        return
    said = f"another program answers at [::1]:{port}, where tools that say localhost may go"
    yield Finding("localhost", "doubtful", said, f"tell tools http://127.0.0.1:{port}, or set host: localhost")


def confinement(root: Path, host: str, *, runs: bool) -> Iterator[Finding]:
    """Whether this is a container or WSL, where 127.0.0.1 is not the 127.0.0.1 of the machine around it."""
    if host in _OWN_NAMES[:3] and any((root / each).exists() for each in (".dockerenv", "run/.containerenv")):
        said = f"this is one, and {host} is reached from inside it only; for others: host: 0.0.0.0 with client keys"
        yield Finding("container", "ok", said)
    try:
        kernel = (root / "proc/version").read_text(encoding="utf-8", errors="replace").lower()
    except OSError:
        return
    if "microsoft" in kernel and not runs:
        said = "this is WSL, where a daemon that runs on Windows is not at 127.0.0.1"
        yield Finding("wsl", "doubtful", said, "run llm-mux here too, or set networkingMode=mirrored in .wslconfig")


def other_installation(found: str | None) -> Iterator[Finding]:
    """Whether `llm-mux` on the PATH is another one than this. `found`: where it is."""
    if found is None:
        return
    here = Path(sys.executable).parent
    if Path(found).parent.resolve() != here.resolve() and Path(found).resolve().parent != here.resolve():
        said = f"{found} comes first on the PATH and is not the one that runs here ({here})"
        yield Finding("version", "doubtful", said, f"take it away, or put {here} first on the PATH")


def has_demo(health: Mapping[str, object]) -> bool:
    """Whether a daemon that says this of itself has the demo model."""
    accounts = health.get("accounts")
    found = accounts if isinstance(accounts, list) else []
    return any(isinstance(each, Mapping) and each.get("name") == "demo/demo" for each in found)


def on_the_path() -> str | None:
    return shutil.which("llm-mux")
