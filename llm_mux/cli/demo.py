"""`llm-mux demo`: one question through all five protocols of a running daemon, side by side."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import click
from msgspec import Struct, to_builtins

from llm_mux.cli.client import Answer, Client, error_text, running
from llm_mux.cli.invocation import Failure, Invocation, pass_invocation
from llm_mux.cli.models import client_of, listed
from llm_mux.cli.said import clean

START_S = 20.0
QUESTION = "In one sentence: what does a multiplexer do?"
READY = "listening on "


class Protocol(Struct, frozen=True):
    """How one kind of client asks, and where its answer and its token counts are."""

    name: str
    path: Callable[[str], str]
    body: Callable[[str, str], dict[str, Any]]
    text: Callable[[Any], str]
    tokens: Callable[[Any], int]
    headers: tuple[tuple[str, str], ...] = ()


def _chat_body(model: str, question: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": question}]}


def _responses_text(answer: Any) -> str:
    messages = [item for item in answer["output"] if item["type"] == "message"]
    return "".join(part.get("text", "") for item in messages for part in item["content"])


PROTOCOLS = (
    Protocol(
        "OpenAI chat",
        lambda model: "/v1/chat/completions",
        _chat_body,
        lambda answer: str(answer["choices"][0]["message"]["content"]),
        lambda answer: int(answer["usage"]["total_tokens"]),
    ),
    Protocol(
        "OpenAI responses",
        lambda model: "/v1/responses",
        lambda model, question: {"model": model, "input": question, "store": False},
        _responses_text,
        lambda answer: int(answer["usage"]["total_tokens"]),
    ),
    Protocol(
        "Anthropic",
        lambda model: "/v1/messages",
        lambda model, question: {**_chat_body(model, question), "max_tokens": 1024},
        lambda answer: "".join(block.get("text", "") for block in answer["content"]),
        lambda answer: int(answer["usage"]["input_tokens"]) + int(answer["usage"]["output_tokens"]),
        (("anthropic-version", "2023-06-01"),),
    ),
    Protocol(
        "Gemini",
        lambda model: f"/v1beta/models/{quote(model, safe='/:')}:generateContent",
        lambda model, question: {"contents": [{"role": "user", "parts": [{"text": question}]}]},
        lambda answer: "".join(part.get("text", "") for part in answer["candidates"][0]["content"]["parts"]),
        lambda answer: int(answer["usageMetadata"]["totalTokenCount"]),
    ),
    Protocol(
        "Ollama",
        lambda model: "/api/chat",
        lambda model, question: {**_chat_body(model, question), "stream": False},
        lambda answer: str(answer["message"]["content"]),
        lambda answer: int(answer["prompt_eval_count"]) + int(answer["eval_count"]),
    ),
)


class Outcome(Struct, frozen=True):
    protocol: str
    route: str
    ok: bool
    answer: str
    tokens: int | None
    ms: int


@click.command()
@click.option("--model", metavar="NAME", help="Ask this model; left out: a demo model if there is one, else the first.")
@click.option("--question", default=QUESTION, show_default=True, help="What to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def demo(invocation: Invocation, model: str | None, question: str, as_json: bool) -> int:
    """Ask one question through all five protocols.

    Shows the answers side by side. Uses the running daemon; when none runs, one with the demo provider is started for
    the occasion.
    """
    with _daemon(invocation) as client:
        chosen = model or _first(listed(client))
        outcomes = [ask(client, protocol, chosen, question) for protocol in PROTOCOLS]
    if as_json:
        click.echo(json.dumps({"model": chosen, "outcomes": to_builtins(outcomes)}, indent=2))
    else:
        _show(client.url, chosen, outcomes)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def ask(client: Client, protocol: Protocol, model: str, question: str) -> Outcome:
    """One whole answer through one protocol; an error is an outcome too."""
    route = protocol.path(model)
    began = time.monotonic()
    try:
        answer = client.post(route, protocol.body(model, question), headers=dict(protocol.headers))
        ok, text, tokens = _understood(protocol, answer)
    except Failure as error:
        ok, text, tokens = False, error.message, None
    return Outcome(protocol.name, route, ok, clean(text.strip()), tokens, round((time.monotonic() - began) * 1000))


def _understood(protocol: Protocol, answer: Answer) -> tuple[bool, str, int | None]:
    if answer.status != 200:
        return False, error_text(answer), None
    body = answer.json()
    try:
        return True, protocol.text(body), protocol.tokens(body)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return False, "the answer does not have the shape of this protocol", None


def _first(entries: list[dict[str, Any]]) -> str:
    names = [str(entry.get("id")) for entry in entries]
    demos = [str(entry.get("id")) for entry in entries if entry.get("provider") == "demo"]
    if not names:
        raise Failure("the daemon offers no model; start it with: llm-mux serve --demo")
    for name in ("demo", *demos, *names):
        if name in names:
            return name
    return names[0]


@contextlib.contextmanager
def _daemon(invocation: Invocation) -> Iterator[Client]:
    if running() is not None:
        yield client_of(invocation)
        return
    click.echo("No daemon is running; starting one with the demo provider...", err=True)
    with tempfile.TemporaryDirectory(prefix="llm-mux-demo-") as home:
        process = _start(home)
        try:
            yield Client(_url(process))
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
            process.communicate()


def _start(home: str) -> subprocess.Popen[str]:
    """A daemon on a free port whose files are all in `home`, with nothing of the user's own settings or accounts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_MUX_", "PROXY_API_KEY"))}
    own = {"LLM_MUX_HOME": home, "LLM_MUX_KEYRING": "file", "LLM_MUX_DISCOVER": "false", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "llm_mux", "serve", "--demo", "--host", "127.0.0.1", "--port", "0"],
        env=kept | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _url(process: subprocess.Popen[str]) -> str:
    """Where it listens, from the line that it prints when it is ready."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert process.stdout is not None
    stdout = process.stdout

    def read() -> None:
        for line in stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + START_S
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            line = ""
        if not line:
            raise Failure("the daemon did not start; see why with: llm-mux serve --demo")
        if READY in line:
            return line.partition(READY)[2].split()[0].rstrip("/")


def _show(url: str, model: str, outcomes: list[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{clean(model)} at {url}", title_justify="left", show_lines=True)
    for column in ("protocol", "route", "answer"):
        table.add_column(column, overflow="fold")
    table.add_column("tokens", justify="right")
    table.add_column("ms", justify="right")
    for each in outcomes:
        answer = Text(each.answer, style="" if each.ok else "red")
        tokens = "" if each.tokens is None else str(each.tokens)
        table.add_row(each.protocol, Text(each.route), answer, tokens, str(each.ms))
    Console().print(table)
