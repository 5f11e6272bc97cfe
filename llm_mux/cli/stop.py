"""`llm-mux stop`: ask the running daemon to finish, and wait until it is gone."""

from __future__ import annotations

import click

from llm_mux.cli.client import require
from llm_mux.cli.invocation import Failure


@click.command()
@click.option("--timeout", type=click.FloatRange(min=0), default=40.0, show_default=True, help="Seconds to wait.")
def stop(timeout: float) -> None:
    """Stop the running daemon; exchanges under way may finish."""
    import psutil

    record = require()
    try:
        process = psutil.Process(record.pid)
        process.terminate()
        process.wait(timeout)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired as error:
        raise Failure(f"process {record.pid} is still finishing its exchanges after {timeout:g} s") from error
    except psutil.AccessDenied as error:
        raise Failure(f"process {record.pid} belongs to another user; stop it from there") from error
    click.echo(f"stopped {record.url} (process {record.pid})")
