"""`llm-mux restart`: a new process takes the running daemon's place without refusing a connection."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import click

from llm_mux.cli.client import require
from llm_mux.cli.invocation import Failure, known_types, warn

_LOOK_S = 0.05


@click.command()
@click.option("--timeout", type=click.FloatRange(min=0), default=70.0, show_default=True, help="Seconds to wait.")
def restart(timeout: float) -> None:
    """Replace the running daemon without refusing anybody.

    A new process starts from what is installed now; exchanges under way finish in the old one.

    The new one has the old one's command line, environment and listening sockets: no connection is refused. When it
    does not come up, the old one goes on.
    """
    from llm_mux import paths
    from llm_mux.config import load
    from llm_mux.server.handover import report_file

    record = require()
    number = getattr(signal, "SIGUSR2", None)
    if number is None:
        raise Failure("this platform cannot hand sockets over; use llm-mux stop and llm-mux serve")
    if record.config:
        for warning in load(Path(record.config), os.environ, known_types=known_types()).warnings:
            warn(warning)
    report_file().unlink(missing_ok=True)
    try:
        os.kill(record.pid, number)
    except PermissionError as error:
        raise Failure(f"process {record.pid} belongs to another user; restart it from there") from error
    report = _report(report_file(), timeout)
    if report.get("error"):
        raise Failure(f"{report['error']}; process {record.pid} goes on")
    now = paths.read_daemon() or record
    click.echo(f"restarted {now.url} (llm-mux {now.version}, process {now.pid} after {record.pid})")


def _report(path: Path, timeout: float) -> dict[str, object]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            time.sleep(_LOOK_S)
            continue
        return found if isinstance(found, dict) else {}
    raise Failure(f"the daemon did not say within {timeout:g} s how its restart went; see llm-mux status")
