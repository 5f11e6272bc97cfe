"""`llm-mux serve --daemon`: the daemon in a process of its own that outlives the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from llm_mux import paths
from llm_mux.cli.client import running
from llm_mux.cli.invocation import Failure

_LOOK_S = 0.05
_START_S = 60.0


def start(arguments: Sequence[str]) -> int:
    """Run `llm-mux ARGUMENTS` detached and wait until it listens; the exit code, its own when it does not come up."""
    record = running()
    if record is not None:
        raise Failure(f"a daemon runs already at {record.url} (process {record.pid}); see llm-mux restart")
    folder = paths.private_dir(paths.log_dir())
    said = folder / "serve.out"
    with said.open("wb") as output:
        os.chmod(said, 0o600)
        child = _spawn(arguments, output.fileno())
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if (code := child.poll()) is not None:
            click.echo(
                said.read_text(errors="replace").rstrip() or f"llm-mux: it ended with exit code {code}", err=True
            )
            return code or 1
        record = paths.read_daemon()
        if record is not None and record.pid == child.pid:
            # It is meant to go on when this process ends.
            child.returncode = 0
            click.echo(f"listening on {record.url} (process {child.pid}, log {folder / 'llm-mux.log'})")
            return 0
        time.sleep(_LOOK_S)
    child.kill()
    child.wait()
    raise Failure(f"it did not listen within {_START_S:g} s; {said} may say why")


def _spawn(arguments: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    from llm_mux.server.handover import DETACHED

    flags = 0
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "llm_mux", *arguments],
        env={**os.environ, DETACHED: "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        creationflags=flags,
    )


def arguments(config: Path | None, host: str | None, port: int | None, workers: str | None, *, demo: bool) -> list[str]:
    """The command line of the detached process."""
    made = ["--config", str(config)] if config is not None else []
    made.append("serve")
    made += ["--host", host] if host is not None else []
    made += ["--port", str(port)] if port is not None else []
    made += ["--workers", workers] if workers is not None else []
    return made + (["--demo"] if demo else [])
