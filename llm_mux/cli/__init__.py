"""The command line. One file per command; `main` is what the installed script calls.

Rule: importing this loads click alone, so that `llm-mux --version` is quick; each command loads what it needs when it
runs. Errors are one line on stderr that says what to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

OK, FAILED, BAD_USAGE, PORT_TAKEN, INTERRUPTED = 0, 1, 2, 3, 130


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    from llm_mux.cli.root import root

    try:
        result = root.main(args=list(arguments), prog_name="llm-mux", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader is gone (`llm-mux models | head`); give the interpreter something to flush into.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _explain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else OK


def _explain(error: Exception) -> int:
    """Say on stderr what went wrong, and return the exit code that belongs to it."""
    import click

    from llm_mux.auth.sealed import StoreError
    from llm_mux.config.problems import ConfigError

    if isinstance(error, click.exceptions.Abort):
        return INTERRUPTED
    if isinstance(error, ConfigError):
        for each in (error, *error.more):
            _say(str(each))
        return BAD_USAGE
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if isinstance(error, click.UsageError) and context else ""
        _say(error.format_message().rstrip(".") + hint)
        return error.exit_code
    if isinstance(error, (StoreError, OSError)):
        _say(str(error))
        return FAILED
    if os.environ.get("LLM_MUX_DEBUG", "").lower() in ("1", "true", "yes", "on"):
        import traceback

        traceback.print_exception(error)
    from llm_mux.log import redact_text

    _say(redact_text(f"internal error: {type(error).__name__}: {error}; LLM_MUX_DEBUG=true shows where"))
    return FAILED


def _say(text: str) -> None:
    from llm_mux.cli.said import clean

    sys.stderr.write(f"llm-mux: {clean(text.replace(chr(10), ' '))}\n")
