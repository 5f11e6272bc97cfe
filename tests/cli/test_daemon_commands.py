"""`status`, `stop`, `models`, `demo` against a daemon: a scripted one for odd answers, a real process to stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest

from llm_mux import paths
from llm_mux.cli.client import Client
from llm_mux.cli.demo import PROTOCOLS, ask
from tests.cli.running import Run


@dataclass
class Scripted:
    """An HTTP server that answers each path with a status and a body, and notes what it was asked."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, body: object, status: int = 200) -> None:
        self.answers[path] = (status, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            script.asked.append((self.command, self.path, dict(self.headers), body))
            status, answer = script.answers.get(self.path, (404, b'{"error": "no route"}'))
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def register(url: str, pid: int, *, started: float | None = None) -> None:
    born = psutil.Process(pid).create_time() if started is None else started
    port = int(url.rpartition(":")[2])
    paths.write_daemon(paths.DaemonRecord(pid, "127.0.0.1", port, url, born, "0.1.0", "config.yaml"))


@pytest.fixture
def registered(scripted: Scripted) -> Scripted:
    register(scripted.url, os.getpid())
    return scripted


@pytest.mark.parametrize("command", ["stop", "models"])
def test_without_a_daemon_it_says_how_to_start_one(run: Run, command: str) -> None:
    done = run(command)
    assert (done.code, done.err) == (1, "llm-mux: no daemon is running; start one with: llm-mux serve\n")


def test_status_without_a_daemon_is_exit_code_1(run: Run) -> None:
    assert run("status").code == 1
    assert json.loads(run("status", "--json").out) == {"running": False}


def test_a_reused_process_id_is_not_taken_for_the_daemon(run: Run) -> None:
    register("http://127.0.0.1:1", os.getpid(), started=psutil.Process().create_time() - 60)
    assert run("status").code == 1
    assert run("stop").code == 1


def test_status_shows_the_daemons_health(run: Run, registered: Scripted) -> None:
    registered.answer("/health", {"status": "healthy", "version": "0.1.0"})
    done = run("status")
    assert done.code == 0
    assert done.out.startswith(f"healthy: {registered.url} (llm-mux 0.1.0, process {os.getpid()}, up ")
    shown = json.loads(run("status", "--json").out)
    assert (shown["running"], shown["pid"], shown["health"]["status"]) == (True, os.getpid(), "healthy")


@pytest.mark.parametrize("command", ["usage", "billing balance ann", "billing transactions ann"])
def test_a_running_daemon_writes_what_has_just_ended_before_the_books_are_read(
    run: Run, registered: Scripted, command: str
) -> None:
    assert run(*command.split()).code == 0
    assert [path for _, path, _, _ in registered.asked] == ["/v1/usage?days=1"]


def test_the_books_are_read_also_beside_a_daemon_that_does_not_answer(run: Run) -> None:
    register("http://127.0.0.1:1", os.getpid())
    assert run("usage").code == 0


def test_status_names_what_the_daemon_stands_on_and_is_not_well(run: Run, registered: Scripted) -> None:
    parts = {"database": "healthy", "llm_services": "unhealthy", "redis": "degraded"}
    registered.answer("/health", {"status": "degraded", "version": "0.1.0", "components": parts})
    assert run("status").out.splitlines()[1:] == ["redis: degraded"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", {"status": "unhealthy"}])
def test_status_of_an_ill_daemon_is_exit_code_1(run: Run, registered: Scripted, body: object) -> None:
    registered.answer("/health", body)
    assert run("status").code == 1


def test_status_of_a_daemon_that_does_not_listen(run: Run) -> None:
    register("http://127.0.0.1:1", os.getpid())
    done = run("status")
    assert (done.code, done.out.partition(":")[0]) == (1, "not answering")


MODELS = {
    "data": [
        {"id": "claude-sonnet-4-5", "provider": "anthropic", "context_window": 200000, "max_output_tokens": 64000},
        {"id": "evil\x1b[2J", "owned_by": "other"},
    ]
}


def test_models_are_listed_without_control_characters(run: Run, registered: Scripted) -> None:
    registered.answer("/v1/models", MODELS)
    done = run("models")
    assert done.code == 0
    assert "claude-sonnet-4-5" in done.out
    assert "200,000" in done.out
    assert "\x1b" not in done.out
    assert json.loads(run("models", "--json").out) == MODELS["data"]


def test_models_asks_for_one_provider_with_the_configured_key(
    run: Run, registered: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MUX_API_KEYS", "client-key")
    registered.answer("/v1/models?provider=anthropic&refresh=true", {"data": []})
    assert "no models" in run("models", "--provider", "anthropic", "--refresh").out
    assert registered.asked[0][2]["authorization"] == "Bearer client-key"


def test_without_models_it_says_what_keeps_the_accounts_from_telling_theirs(run: Run, registered: Scripted) -> None:
    registered.answer("/v1/models", {"data": []})
    registered.answer("/health", {"accounts": []})
    assert run("models").out == "no models; add an account with: llm-mux login PROVIDER --api-key\n"
    registered.answer("/health", {"accounts": [{"name": "openai/env", "last_error": "openai/env is not reachable."}]})
    assert run("models").out == "no models; openai/env is not reachable.\n"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"error": {"message": "no key\x1b[2J"}}, 401, "the daemon answered: no key[2J"),
        ({"error": "plain"}, 500, "the daemon answered: plain"),
        (b"<html>", 502, "the daemon answered: HTTP 502"),
        (b"<html>", 200, "not JSON"),
        ({"data": 1}, 200, "not a model list"),
    ],
)
def test_odd_answers_are_one_line(run: Run, registered: Scripted, body: object, status: int, message: str) -> None:
    registered.answer("/v1/models", body, status)
    done = run("models")
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1


SLEEPER = "import signal, sys\nprint('ready', flush=True)\nsignal.sigwait({signal.SIGTERM})\n"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)\n"
)


@pytest.fixture
def process() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        made = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        started.append(made)
        assert made.stdout is not None
        made.stdout.readline()
        return made

    yield start
    for made in started:
        made.kill()
        made.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_stop_waits_until_the_process_is_gone(run: Run, process: Callable[[str], subprocess.Popen[str]]) -> None:
    daemon = process(SLEEPER)
    register("http://127.0.0.1:1", daemon.pid)
    reaper = threading.Thread(target=daemon.wait)
    reaper.start()
    done = run("stop")
    reaper.join()
    assert (done.code, done.out) == (0, f"stopped http://127.0.0.1:1 (process {daemon.pid})\n")
    assert run("status").code == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_stop_gives_up_after_its_time(run: Run, process: Callable[[str], subprocess.Popen[str]]) -> None:
    daemon = process(STUBBORN)
    register("http://127.0.0.1:1", daemon.pid)
    done = run("stop", "--timeout", "0.1")
    assert done.code == 1
    assert "still finishing" in done.err


ANSWERS: dict[str, object] = {
    "OpenAI chat": {"choices": [{"message": {"content": "hi"}}], "usage": {"total_tokens": 3}},
    "OpenAI responses": {
        "output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],
        "usage": {"total_tokens": 3},
    },
    "Anthropic": {
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    },
    "Gemini": {"candidates": [{"content": {"parts": [{"text": "hi"}]}}], "usageMetadata": {"totalTokenCount": 3}},
    "Ollama": {"message": {"content": "hi"}, "prompt_eval_count": 1, "eval_count": 2},
}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_each_protocols_answer_is_understood(scripted: Scripted, protocol: Any) -> None:
    scripted.answer(protocol.path("m"), ANSWERS[protocol.name])
    outcome = ask(Client(scripted.url), protocol, "m", "q")
    assert (outcome.ok, outcome.answer, outcome.tokens) == (True, "hi", 3)
    assert b'"q"' in scripted.asked[0][3]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_each_protocols_errors_are_outcomes(scripted: Scripted, protocol: Any) -> None:
    client = Client(scripted.url)
    scripted.answer(protocol.path("m"), {"error": {"message": "no such model"}}, 404)
    assert (ask(client, protocol, "m", "q").ok, ask(client, protocol, "m", "q").answer) == (False, "no such model")
    scripted.answer(protocol.path("m"), {"surprise": 1})
    assert "does not have the shape" in ask(client, protocol, "m", "q").answer


def test_demo_asks_the_running_daemon_and_shows_all_five(run: Run, registered: Scripted) -> None:
    registered.answer("/v1/models", {"data": [{"id": "a"}, {"id": "demo-x", "provider": "demo"}]})
    for protocol in PROTOCOLS:
        registered.answer(protocol.path("demo-x"), ANSWERS[protocol.name])
    done = run("demo")
    assert done.code == 0
    assert all(protocol.name.split()[0] in done.out for protocol in PROTOCOLS)
    shown = json.loads(run("demo", "--json", "--question", "why").out)
    assert (shown["model"], len(shown["outcomes"])) == ("demo-x", 5)
    assert b"why" in registered.asked[-1][3]


def test_demo_with_a_failing_protocol_is_exit_code_1(run: Run, registered: Scripted) -> None:
    registered.answer("/v1/models", {"data": [{"id": "a"}]})
    assert run("demo", "--model", "a").code == 1
    registered.answer("/v1/models", {"data": []})
    assert "offers no model" in run("demo").err
