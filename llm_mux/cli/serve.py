"""`llm-mux serve`: the daemon, in the foreground or detached."""

from __future__ import annotations

import click

from llm_mux.cli.invocation import Invocation, pass_invocation, warn


@click.command(
    epilog="\b\nExamples:\n  llm-mux serve --demo             try everything without an account\n"
    "  llm-mux serve --daemon           in the background; llm-mux stop ends it\n"
    "  llm-mux serve --port 9000 --workers auto"
)
@click.option("--host", metavar="ADDRESS", help="Listen on this address instead of the configured one.")
@click.option("--port", metavar="PORT", type=int, help="Listen on this port; 0 takes a free one.")
@click.option("--demo", is_flag=True, help="Add the demo provider: scripted models that need no key.")
@click.option("--workers", metavar="N|auto", help="Serve with this many processes; auto: one for each CPU.")
@click.option("--daemon", is_flag=True, help="Run in the background; return when it listens.")
@pass_invocation
def serve(
    invocation: Invocation, host: str | None, port: int | None, demo: bool, workers: str | None, daemon: bool
) -> int:
    """Serve all protocols until stopped.

    Prints one line when it is ready. Ctrl-C or SIGTERM lets running exchanges finish.
    """
    if not daemon:
        from llm_mux.server import early

        early.begin()
    loaded = invocation.load({"host": host, "port": port, "workers": workers})
    for warning in loaded.warnings:
        warn(warning)
    if daemon:
        from llm_mux.cli import detached

        named = None if invocation.config_option is None else invocation.path()
        return detached.start(detached.arguments(named, host, port, workers, demo=demo))
    from llm_mux.server.process import run

    return run(loaded, demo=demo)
