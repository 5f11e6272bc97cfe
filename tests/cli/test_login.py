"""`llm-mux login` and `logout`: keys go into the store, never over the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm_mux.auth.keys import accounts, find
from llm_mux.auth.store import SecretStore, open_store
from tests.cli.running import Run


@pytest.fixture
def store(home: Path) -> SecretStore:
    return open_store(env=os.environ, data_dir=home / "data")


def test_a_piped_key_is_stored_untried_when_asked_so(run: Run, store: SecretStore) -> None:
    done = run("login", "openai", "--api-key", "-", "--no-check", stdin="sk-PLANTED\n")
    assert done.code == 0
    assert "Stored openai/default in the encrypted file" in done.out
    assert "PLANTED" not in done.out + done.err
    found = find(store, "openai", "default")
    assert found is not None
    assert found.key == "sk-PLANTED"


def test_further_keys_get_names_of_their_own(run: Run, store: SecretStore) -> None:
    for key, more in (("sk-1", ()), ("sk-2", ()), ("sk-2", ()), ("sk-3", ("--name", "team"))):
        assert run("login", "openai", "-", "--no-check", *more, stdin=key).code == 0
    assert accounts(store) == [("openai", "default"), ("openai", "key-2"), ("openai", "team")]


def test_a_provider_of_the_configuration_takes_a_key(run: Run, home: Path, store: SecretStore) -> None:
    home.mkdir()
    (home / "config.yaml").write_text(
        "providers:\n- {id: work, type: openai-compatible, base-url: 'https://llm.example/v1'}\n"
    )
    assert run("login", "work", "-", "--no-check", stdin="sk-1").code == 0
    assert accounts(store) == [("work", "default")]


def test_a_short_name_means_its_provider(run: Run, store: SecretStore) -> None:
    assert "Stored anthropic/default" in run("login", "claude", "-", "--no-check", stdin="sk-1").out
    assert accounts(store) == [("anthropic", "default")]
    assert run("logout", "claude").out == "Forgot anthropic/default.\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["opnai", "-"], "sk-1", 2, 'there is no provider "opnai"; did you mean "openai"?'),
        (["openai", "sk-PLANTED"], "", 2, "ends up in the shell's history"),
        (["openai", "-"], " \n", 1, "no key was given"),
        (["openai", "-"], "two words", 1, "that is not a key"),
        (["openai", "-"], "ключ", 1, "that is not a key"),
        (["openai", "-", "--name", "a/b"], "sk-1", 2, "--name"),
        (["openai", "-", "--base-url", "http://llm.example"], "sk-1", 2, "would send secrets unencrypted"),
        (["openai", "-", "--base-url", "llm.example"], "sk-1", 2, "must be a URL"),
        (["azure", "-"], "sk-1", 2, "azure has no usual place: say where it is with --base-url"),
        (["openai-compatible", "-"], "sk-1", 2, "say where it is with --base-url"),
        (["demo", "-"], "sk-1", 1, "needs no key; start it with: llm-mux serve --demo"),
        (["openai"], "sk-1", 1, "pipe the key: llm-mux login openai --api-key -"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    run: Run, store: SecretStore, arguments: list[str], stdin: str, code: int, message: str
) -> None:
    done = run("login", *arguments, "--no-check", stdin=stdin)
    assert done.code == code
    assert message in done.err
    assert "PLANTED" not in done.err
    assert accounts(store) == []


def test_an_unreachable_provider_is_not_trusted_with_a_piped_key(run: Run, store: SecretStore) -> None:
    done = run("login", "openai", "-", "--base-url", "http://127.0.0.1:1/v1", stdin="sk-PLANTED")
    assert done.code == 1
    assert "openai could not be reached at http://127.0.0.1:1/v1" in done.err
    assert "PLANTED" not in done.err
    assert accounts(store) == []


def test_a_provider_that_repeats_the_key_it_refuses_does_not_show_it(run: Run, store: SecretStore) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"error": {"message": f"bad key: {self.headers['authorization']}"}}).encode()
            self.send_response(401)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        done = run("login", "openai", "-", "--base-url", url, stdin="corporate-PLANTED")
        server.shutdown()
        thread.join()
    assert done.code == 1
    assert "the key was not stored: bad key: Bearer ***" in done.err
    assert "PLANTED" not in done.err
    assert accounts(store) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal")
def test_a_typed_key_is_not_echoed(store: SecretStore) -> None:
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_mux", "login", "openai", "--api-key", "--no-check"],
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    shown = b""
    while b"API key of openai" not in shown:
        shown += os.read(parent, 1024)
    os.write(parent, b"sk-PLANTED\n")
    while b"Stored openai/default" not in shown:
        shown += os.read(parent, 1024)
    assert process.wait(20) == 0
    os.close(parent)
    assert b"PLANTED" not in shown
    assert accounts(store) == [("openai", "default")]


def test_logout_forgets_one_account(run: Run, store: SecretStore) -> None:
    for label in ("a", "b", "c"):
        run("login", "openai", "-", "--no-check", "--name", label, stdin=f"sk-{label}")
    assert run("logout", "openai").code == 2
    assert run("logout", "openai", "x").code == 1
    assert run("logout", "openai", "a").out == "Forgot openai/a.\n"
    assert run("logout", "openai/b").code == 0
    assert run("logout", "openai").out == "Forgot openai/c.\n"
    assert accounts(store) == []


def test_logout_forgets_all_accounts_of_a_provider(run: Run, store: SecretStore) -> None:
    for label in ("a", "b"):
        run("login", "openai", "-", "--no-check", "--name", label, stdin=f"sk-{label}")
    run("login", "gemini", "-", "--no-check", stdin="AIza-1")
    assert run("logout", "openai", "--all").code == 0
    assert accounts(store) == [("gemini", "default")]
    assert 'did you mean "gemini"?' in run("logout", "gemni").err
