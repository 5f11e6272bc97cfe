"""`llm-mux service`: the daemon started by the system, by systemd, launchd or the Windows task scheduler.

Rule: `units.py` says what is written and run; here it is done, and what the system's own program says is passed on.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, pass_invocation, warn

if TYPE_CHECKING:
    from llm_mux.cli.units import Command, Unit

_KEPT = ("LLM_MUX_HOME", "LLM_MUX_KEYRING")


@click.group()
def service() -> None:
    """Have the system start the daemon.

    By systemd, launchd or the Windows task scheduler.
    """


@service.command()
@click.option("--print", "only_print", is_flag=True, help="Show the file and the commands; change nothing.")
@pass_invocation
def install(invocation: Invocation, only_print: bool) -> None:
    """Start the daemon now and whenever you log in.

    With systemd: whenever the machine starts.

    Run again, it takes over what changed: another Python, another configuration.
    """
    from llm_mux.cli.client import running

    named = None if invocation.config_option is None and "LLM_MUX_CONFIG" not in os.environ else invocation.path()
    invocation.load()
    unit = unit_of(named)
    if only_print:
        click.echo(f"# {unit.file}")
        click.echo(unit.content.decode("utf-16" if sys.platform == "win32" else "utf-8"))
        for command in unit.install:
            click.echo(f"# then: {' '.join(command.words)}")
        return
    record, installed = running(), Path(unit.file).exists()
    if record is not None and not installed:
        raise Failure(f"a daemon runs already at {record.url} (process {record.pid}); end it first: llm-mux stop")
    Path(unit.file).parent.mkdir(parents=True, exist_ok=True)
    Path(unit.file).write_bytes(unit.content)
    _run(unit.install)
    click.echo(f"installed ({unit.file})")
    click.echo("Keys of your shell's environment are not seen by it; store them: llm-mux login PROVIDER --api-key")
    click.echo("It is there:  llm-mux status      What it says:  llm-mux logs -f")


@service.command()
@pass_invocation
def uninstall(invocation: Invocation) -> None:
    """Stop the daemon and take the file away.

    Configuration, accounts and logs stay.
    """
    unit = _installed()
    _run(unit.uninstall)
    Path(unit.file).unlink(missing_ok=True)
    click.echo(f"uninstalled ({unit.file})")


@service.command()
def start() -> None:
    """Start the installed service."""
    _run(_installed().start)
    click.echo("started; llm-mux status says how it is")


@service.command()
def stop() -> None:
    """Stop the installed service until the next login or start."""
    _run(_installed().stop)
    click.echo("stopped")


@service.command()
def status() -> int:
    """Say whether the service is installed and runs. Exit code 1 when it does not."""
    from llm_mux import paths

    unit = unit_of(None)
    if not Path(unit.file).exists():
        click.echo("not installed; llm-mux service install does it")
        return 1
    code, _ = call(unit.status)
    click.echo(f"{'running' if code == 0 else 'not running'} ({unit.file})")
    click.echo(f"log: {paths.log_dir() / 'llm-mux.log'} (llm-mux logs -f)")
    return 0 if code == 0 else 1


def unit_of(config: Path | None) -> Unit:
    """This system's way to start the daemon with this configuration."""
    from llm_mux import paths
    from llm_mux.cli import units

    arguments = (sys.executable, "-m", "llm_mux", *(("--config", str(config)) if config else ()), "serve")
    kept = {name: os.environ[name] for name in _KEPT if os.environ.get(name)}
    if home := kept.get("LLM_MUX_HOME"):
        kept["LLM_MUX_HOME"] = str(Path(home).expanduser().absolute())
    program = units.Program(arguments, kept, paths.config_file().parent / "environment", paths.log_dir() / "serve.out")
    if sys.platform == "win32":
        return units.windows(program, paths.data_dir(), getpass.getuser())
    if sys.platform == "darwin":
        return units.launchd(program, Path.home(), os.getuid())
    return units.systemd(program, Path.home(), getpass.getuser())


def _installed() -> Unit:
    unit = unit_of(None)
    if not Path(unit.file).exists():
        raise Failure("the service is not installed; llm-mux service install does it")
    return unit


def _run(commands: Iterable[Command]) -> None:
    for command in commands:
        code, said = call(command)
        if code == 0:
            continue
        if command.advice is None:
            raise Failure(f"`{' '.join(command.words)}` failed: {said or f'exit code {code}'}")
        warn(f"`{' '.join(command.words)}` failed ({said or f'exit code {code}'}): {command.advice}")


def call(command: Command) -> tuple[int, str]:
    """The exit code, and the last line of what it said."""
    try:
        done = subprocess.run(command.words, capture_output=True, text=True, timeout=90, check=False)  # noqa: S603
    except FileNotFoundError:
        return 127, f"there is no {command.words[0]} on this machine"
    except subprocess.TimeoutExpired:
        return 124, "it did not end within 90 s"
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return done.returncode, lines[-1] if lines else ""
