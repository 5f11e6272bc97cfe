"""`llm-mux help [COMMAND]`: what `llm-mux COMMAND --help` says."""

from __future__ import annotations

import click


@click.command()
@click.argument("command", nargs=-1)
@click.pass_context
def help(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Explain a command, as `llm-mux COMMAND --help` does."""
    assert ctx.parent is not None
    context: click.Context = ctx.parent
    found: click.Command = context.command
    for name in command:
        if not isinstance(found, click.Group):
            raise click.UsageError(f"`{context.command_path}` has no commands of its own", ctx)
        resolved = found.resolve_command(context, [name])[1]
        assert resolved is not None
        context, found = click.Context(resolved, parent=context, info_name=name), resolved
    click.echo(found.get_help(context))
