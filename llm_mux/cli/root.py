"""`llm-mux` itself: the global options, and commands that are loaded when they are named."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from llm_mux import __version__
from llm_mux.cli.invocation import Invocation

COMMANDS = (
    "accounts",
    "billing",
    "completion",
    "config",
    "connect",
    "cooldown",
    "demo",
    "doctor",
    "help",
    "init",
    "keys",
    "login",
    "logout",
    "logs",
    "models",
    "prices",
    "restart",
    "route",
    "run",
    "serve",
    "service",
    "status",
    "stop",
    "usage",
    "version",
)


_MODULES = {"run": "run_tool", "service": "startup", "help": "explain"}
"""Commands whose module cannot have their name."""
_GROUPS = (
    ("To begin", ("init", "login", "serve", "connect", "run", "demo")),
    ("The daemon", ("status", "logs", "doctor", "stop", "restart", "service", "config")),
    ("Accounts and models", ("accounts", "logout", "models", "route", "cooldown")),
    ("Clients and cost", ("keys", "usage", "prices", "billing")),
    ("More", ("completion", "help", "version")),
)
"""The commands in the order of `--help`."""
_BEGIN = """\b
From nothing to a working tool:
  llm-mux login gemini --api-key     an account (or: llm-mux serve --demo)
  llm-mux serve                      leave it running
  llm-mux connect claude-code        in a second terminal

`llm-mux help COMMAND` explains a command."""


class LazyGroup(click.Group):
    """A group whose commands live in the module of their name (or that of `_MODULES`), in an attribute of that name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _GROUPS:
            commands = [(name, command) for name in names if (command := self.get_command(ctx, name)) is not None]
            with formatter.section(title):
                formatter.write_dl([(name.ljust(11), command.get_short_help_str(70)) for name, command in commands])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"llm_mux.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from llm_mux.config.problems import nearest

            near = nearest(name, COMMANDS)
            hint = f'; did you mean "{near}"?' if near else ""
            raise click.UsageError(f'there is no command "{name}"{hint}', ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"llm-mux {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_BEGIN,
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read this configuration file ($LLM_MUX_CONFIG does the same).",
)
@click.option("--init", "first", is_flag=True, help="Make configuration, folders and management key (= init).")
@click.option("--force", is_flag=True, help="With --init: start over, keeping the old file beside the new one.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.pass_context
def root(ctx: click.Context, config_file: Path | None, first: bool, force: bool) -> int | None:
    """One local daemon between your coding tools and your model accounts.

    Without a command it serves, which is `llm-mux serve`.
    """
    ctx.obj = Invocation(config_file)
    if ctx.invoked_subcommand is not None:
        if first:
            raise click.UsageError("--init stands alone", ctx)
        return None
    if force and not first:
        raise click.UsageError("--force belongs to --init", ctx)
    name = "init" if first else "serve"
    command = root.get_command(ctx, name)
    assert command is not None
    with command.make_context(name, ["--force"] if force else [], parent=ctx) as inner:
        result = command.invoke(inner)
    return result if isinstance(result, int) else None
