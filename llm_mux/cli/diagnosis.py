"""What `llm-mux doctor` looks at: each check is one function, and each fault comes with one line of advice.

Rule: nothing is changed and nothing is spent; hosts are only asked whether they answer, without a key.
"""

from __future__ import annotations

import asyncio
import socket
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from llm_mux import __version__, paths
from llm_mux.cli.client import Client, running
from llm_mux.cli.invocation import Failure

if TYPE_CHECKING:
    from llm_mux.auth.store import SecretStore
    from llm_mux.config import Loaded
    from llm_mux.ledger.account_table import AccountRow
    from llm_mux.routing.accounts import Account

Verdict = Literal["ok", "doubtful", "fault"]
_SKEW_S = 60.0
_SOON_S = 3 * 86400.0
_PATIENCE_S = 3.0


class Finding(Struct, frozen=True):
    """One thing that was looked at; `advice` is what to do about a fault."""

    what: str
    verdict: Verdict
    said: str
    advice: str = ""


class Knock(Struct, frozen=True):
    """What a host said when it was asked for nothing: the difference of its clock to ours in seconds, or why it was not
    reached."""

    host: str
    skew_s: float | None = None
    error: str | None = None


def secrets_store(store: SecretStore) -> Finding:
    description = store.description
    return Finding("secrets", "ok", f"kept in the {description}, {len(store.names())} entries")


def files() -> Iterator[Finding]:
    """Whether others on this machine can read what is private."""
    folder = paths.data_dir()
    if sys.platform == "win32" or not folder.exists():
        return
    for path in (folder, *sorted(folder.glob("secrets*"))):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            advice = f"chmod {'700' if path.is_dir() else '600'} {path}"
            yield Finding("files", "fault", f"{path} can be opened by others (mode {mode:o})", advice)


def health() -> Mapping[str, object] | None:
    """What the running daemon says of itself; None when none runs or it does not answer."""
    record = running()
    try:
        found = Client(record.url).get("/health", timeout_s=_PATIENCE_S).json() if record is not None else None
    except Failure:
        return None
    return found if isinstance(found, dict) else {}


def daemon(*, answers: bool) -> Iterator[Finding]:
    """Whether one runs, answers, and is of this version."""
    record = running()
    left = paths.read_daemon()
    if record is None and left is None:
        yield Finding("daemon", "ok", "none is running")
    elif record is None and left is not None:
        said = f"none is running; the last one (process {left.pid}) did not end in order"
        yield Finding("daemon", "doubtful", said, "llm-mux logs may say why; llm-mux serve starts one")
    if record is None:
        return
    if not answers:
        said = f"process {record.pid} runs and does not answer at {record.url}"
        yield Finding("daemon", "fault", said, "llm-mux restart, or end the process; llm-mux logs may say why")
    if record.version != __version__:
        said = f"{record.url} runs version {record.version}, this is {__version__}"
        yield Finding("daemon", "doubtful", said, "llm-mux restart")
    else:
        yield Finding("daemon", "ok", f"process {record.pid} at {record.url}")


def ports(loaded: Loaded) -> Iterator[Finding]:
    """Whether the daemon can listen, or does."""
    config = loaded.config
    record = running()
    for port in (config.port, config.ollama_port):
        if not port:
            continue
        owner = _owner(config.host, port)
        if owner is None:
            yield Finding("ports", "ok", f"{port} is free")
        elif record is not None and owner == record.pid:
            yield Finding("ports", "ok", f"{port} is the daemon's")
        else:
            who = f"process {owner}" if owner else "another program"
            yield Finding(
                "ports", "fault", f"{port} is taken by {who}", "stop it, or set another port in the configuration"
            )


def _owner(host: str, port: int) -> int | None:
    """None: the port is free. 0: taken, by nobody knows whom."""
    try:
        with socket.create_connection((host if host != "0.0.0.0" else "127.0.0.1", port), timeout=1):  # noqa: S104  # compared, not bound
            pass
    except OSError:
        return None
    import psutil

    try:
        found = psutil.net_connections("tcp")
    except psutil.Error:
        return 0
    return next((c.pid or 0 for c in found if c.laddr and c.laddr.port == port and c.status == "LISTEN"), 0)


def proxies(loaded: Loaded, env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the proxies that are named can be reached."""
    named = {"proxy-url": loaded.config.proxy_url}
    named |= {f"proxy-url of {e.id or e.type}": e.proxy_url for e in loaded.config.providers}
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        named |= {f"${name}": env.get(name)}
    asked: dict[str, str] = {}
    for name, url in named.items():
        if url and url != "direct":
            asked.setdefault(url, name)
    if not asked:
        yield Finding("proxy", "ok", "none")
    for url, name in asked.items():
        parts = urlsplit(url if "://" in url else f"http://{url}")
        place = f"{parts.hostname}:{parts.port or 1080}"
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 1080), timeout=3):
                yield Finding("proxy", "ok", f"{place} ({name}) answers")
        except OSError as error:
            said = f"{place} ({name}) cannot be reached: {error.strerror or error}"
            yield Finding("proxy", "fault", said, f"start it, or take {name} away")


def tokens(accounts: Iterable[Account], noted: Mapping[tuple[str, str], str], now: float) -> Iterator[Finding]:
    """How each login is. `noted`: what the daemon last saw, by account."""
    from llm_mux.gateway.credentials import command

    for account in accounts:
        session = account.session
        if session is None:
            continue
        state = noted.get((account.provider.name, account.label), "ready")
        end = session.credential.expires
        left = None if end is None else end - now
        if state == "login needed" or (left is not None and left <= 0 and session.login.refresh is None):
            yield Finding("tokens", "fault", f"{account.name} needs a new login", command(account))
        elif left is not None and session.login.refresh is None and left < _SOON_S:
            yield Finding("tokens", "doubtful", f"{account.name} ends in {left / 3600:.0f} h", command(account))
        elif session.before(now):
            said = f"{account.name} was logged in to in the future"
            yield Finding("tokens", "doubtful", said, "set this machine's clock right")
        else:
            yield Finding("tokens", "ok", f"{account.name}{_life(left)}")


def held_up(accounts: Iterable[Account], noted: Mapping[tuple[str, str], AccountRow]) -> Iterator[Finding]:
    """Keys that the provider did not take when they were used last."""
    for account in accounts:
        row = noted.get((account.provider.name, account.label))
        if account.session is None and row is not None and row.state == "resting" and row.last_error:
            said = f"{account.name} rests: {row.last_error}"
            yield Finding("accounts", "doubtful", said, f"llm-mux accounts test {account.name}")


def _life(left: float | None) -> str:
    if left is None:
        return " does not end"
    return f" is good for {left / 60:.0f} min and is renewed by itself" if left > 0 else " is renewed at its next use"


async def knocks(accounts: Iterable[Account]) -> list[Knock]:
    """Asks each provider's host for nothing, all at the same time."""
    from llm_mux.gateway.upstream import open_upstream

    upstream = open_upstream()
    places = {(_root(account.provider.base_url), account.proxy_url) for account in accounts}
    try:
        return list(await asyncio.gather(*(_knock(upstream, url, proxy) for url, proxy in sorted(places, key=str))))
    finally:
        await upstream.close()


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


async def _knock(upstream: object, url: str, proxy: str | None) -> Knock:
    from llm_mux.errors import MuxError
    from llm_mux.gateway.upstream import Call, Timeouts, Upstream

    assert isinstance(upstream, Upstream)
    host = urlsplit(url).netloc
    waits = Timeouts(connect=5, first_byte=10, between_bytes=10)
    try:
        reply = await upstream.send(Call(url, {}, method="HEAD", proxy=proxy, place=host, timeouts=waits))
    except MuxError as error:
        return Knock(host, error=error.message)
    sent = reply.lowered.get("date")
    reply.close()
    try:
        return Knock(host, None if sent is None else parsedate_to_datetime(sent).timestamp() - time.time())
    except ValueError:
        return Knock(host)


def reachability(found: Iterable[Knock]) -> Iterator[Finding]:
    for knock in found:
        if knock.error is None:
            yield Finding("providers", "ok", f"{knock.host} answers")
        else:
            advice = "look at the network, the proxy and the provider's status page"
            if "certificate" in knock.error:
                advice = "where a proxy of your company opens TLS, name its certificates: export SSL_CERT_FILE=FILE"
            yield Finding("providers", "fault", knock.error.rstrip("."), advice)


def clock(found: Sequence[Knock]) -> Finding:
    """This machine's clock against the providers'. Their majority is right."""
    skews = sorted(knock.skew_s for knock in found if knock.skew_s is not None)
    if not skews:
        return Finding("clock", "ok", "nobody to compare it with")
    skew = skews[len(skews) // 2]
    if abs(skew) <= _SKEW_S:
        return Finding("clock", "ok", f"right within {max(1, round(abs(skew)))} s")
    said = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the providers'"
    return Finding("clock", "fault", said, "switch on time synchronisation: tokens and signatures depend on the time")


def version() -> Finding:
    """What runs, and where everything is."""
    said = f"llm-mux {__version__}, Python {sys.version.split()[0]}, data in {paths.data_dir()}"
    return Finding("version", "ok", said)
