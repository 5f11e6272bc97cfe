"""`llm-mux completion SHELL`: the script that makes a shell complete commands, options and their values."""

from __future__ import annotations

import click

from llm_mux.cli.invocation import Failure

_PROGRAM, _VARIABLE = "llm-mux", "_LLM_MUX_COMPLETE"
_PLACES = {
    "bash": "  echo 'eval \"$(llm-mux completion bash)\"' >> ~/.bashrc",
    "zsh": "  echo 'eval \"$(llm-mux completion zsh)\"' >> ~/.zshrc      # behind compinit",
    "fish": "  llm-mux completion fish > ~/.config/fish/completions/llm-mux.fish",
}


@click.command(
    epilog="\b\nTo have it in every new shell:\n" + "\n".join(_PLACES.values()),
)
@click.argument("shell", type=click.Choice(tuple(_PLACES)))
def completion(shell: str) -> None:
    """Print what makes SHELL complete `llm-mux` with the Tab key."""
    from click.shell_completion import get_completion_class

    from llm_mux.cli.root import root

    found = get_completion_class(shell)
    if found is None:
        raise Failure(f"there is no completion for {shell}")
    complete = found(root, {}, _PROGRAM, _VARIABLE)
    # Not source(): that asks bash for its version each time, and says nothing more.
    click.echo(complete.source_template % complete.source_vars())
