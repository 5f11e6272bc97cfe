"""Listening: where, and in words why it did not work."""

from __future__ import annotations

import errno
import os

from aiohttp import web


class Unheard(Exception):
    """Listening failed. `taken`: because somebody else has the port."""

    def __init__(self, message: str, *, taken: bool) -> None:
        super().__init__(message)
        self.taken = taken


async def listen(runner: web.AppRunner, host: str, port: int) -> None:
    """Raises Unheard."""
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = _owner(port) if taken else _plain(error)
        raise Unheard(f"cannot listen on {host}:{port}: {reason}", taken=taken) from error


def _plain(error: OSError) -> str:
    if error.errno in errno.errorcode:
        return os.strerror(error.errno or 0).lower()
    return str(error.strerror or error)


def _owner(port: int) -> str:
    """Who has the port, where the system tells, and the way out."""
    import psutil

    way_out = "stop it or choose another port"
    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        process = psutil.Process(next(c.pid for c in listening if c.pid and c.laddr and c.laddr.port == port))
        name, command = process.name(), process.cmdline()
    except (psutil.Error, OSError, StopIteration):
        return f"another process has this port; {way_out}"
    if any("llm-mux" in word or word == "llm_mux" for word in command[:3]):
        return f"an llm-mux has this port (process {process.pid}); end it with llm-mux stop or choose another port"
    return f"{name} has this port (process {process.pid}); {way_out}"
