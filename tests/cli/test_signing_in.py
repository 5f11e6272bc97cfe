"""`llm-mux login` in a real terminal against a certified OpenID provider: browser, paste, device code, and what goes wrong."""

from __future__ import annotations

import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import msgspec
import pexpect
import pytest
import yaml

from llm_mux import paths
from llm_mux.auth.base import Credential
from llm_mux.auth.logins import StoredLogin, find_login, keep_login, login_accounts
from llm_mux.auth.store import SecretStore, open_store
from tests.daemon import ROOT, clean_environment
from tests.upstreams.oidc import BROWSER, DECLINING, Oidc, address_after, oidc, sign_in

pytestmark = [pytest.mark.node, pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal")]
URL = re.compile(r"(http://127\.0\.0\.1:\d+/\S+)")
LIMIT_S = 40


@pytest.fixture(scope="module")
def issuer(node_tools: pathlib.Path) -> Iterator[Oidc]:
    with oidc(node_tools) as running:
        yield running


class Terminal:
    """One person's machine: a home with one server behind single sign-on, and a terminal to type at."""

    def __init__(self, home: pathlib.Path, issuer: Oidc) -> None:
        self.home, self.issuer = home, issuer
        self.configure()

    def configure(self, **oauth: object) -> None:
        facts = {"issuer": self.issuer.url, "client-id": "llm-mux", "poll-s": 0.2, **oauth}
        entry = {"type": "oauth", "id": "corp", "base-url": "http://127.0.0.1:1/v1", "oauth": facts}
        self.home.mkdir(exist_ok=True)
        (self.home / "config.yaml").write_text(yaml.safe_dump({"providers": [entry]}), encoding="utf-8")

    def type(self, *arguments: str, browser: str = "false %s") -> pexpect.spawn:
        env = clean_environment(self.home, {"BROWSER": browser, "PYTHONPATH": str(ROOT)})
        command = [sys.executable, "-m", "llm_mux", *arguments]
        return pexpect.spawn(
            command[0],
            command[1:],
            env=env,
            cwd=str(ROOT),
            encoding="utf-8",
            timeout=LIMIT_S,
            # A shell that runs the tests in the background has them ignore it, and who is started here inherits that.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "llm_mux", *arguments]
        env = clean_environment(self.home)
        return subprocess.run(
            command, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    @property
    def store(self) -> SecretStore:
        env = clean_environment(self.home)
        return open_store(env=env, data_dir=paths.data_dir(env))

    def credential(self, label: str = "ada@corp.example") -> Credential:
        found = find_login(self.store, "corp", label)
        assert found is not None
        return found.credential


@pytest.fixture
def terminal(tmp_path: pathlib.Path, issuer: Oidc) -> Terminal:
    return Terminal(tmp_path / "machine", issuer)


def ended(child: pexpect.spawn) -> tuple[int, str]:
    """Exit code and what was printed last."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None
    return child.exitstatus, str(child.before)


def shown_address(child: pexpect.spawn) -> str:
    child.expect(URL)
    address = str(child.match.group(1))
    child.expect("Waiting for")
    return address


def test_a_browser_brings_the_account_home(terminal: Terminal) -> None:
    code, said = ended(terminal.type("login", "corp", browser=BROWSER))
    assert code == 0
    assert "Logged in to corp/ada@corp.example; kept in the encrypted file" in said
    kept = terminal.credential()
    assert terminal.issuer.owner(kept.access) == "ada"
    assert (kept.refresh != "", kept.way, kept.id) == (True, "browser", "ada")
    assert kept.access not in said and kept.refresh not in said


def test_several_accounts_of_one_provider_stand_side_by_side(terminal: Terminal) -> None:
    for login in ("ada", "bob"):
        child = terminal.type("login", "corp", "--no-browser")
        sign_in(shown_address(child), login)
        assert ended(child)[0] == 0
    child = terminal.type("login", "corp", "--no-browser", "--name", "third")
    sign_in(shown_address(child), "ada")
    assert ended(child)[0] == 0
    labels = ["ada@corp.example", "bob@corp.example", "third"]
    assert login_accounts(terminal.store) == [("corp", label) for label in labels]


def test_the_address_may_be_pasted_where_the_browser_is_elsewhere(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--no-browser")
    address = shown_address(child)
    child.sendline(address_after(address))
    code, said = ended(child)
    assert (code, "Logged in to corp/ada@corp.example" in said) == (0, True)


def test_the_code_alone_may_be_pasted(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--no-browser")
    found = re.search(r"code=([^&]+)", address_after(shown_address(child)))
    assert found is not None
    child.sendline(found[1])
    assert ended(child)[0] == 0


def test_a_paste_of_another_login_is_refused_and_asked_for_again(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--no-browser")
    address = shown_address(child)
    back = address_after(address)
    child.sendline(re.sub(r"state=[^&]+", "state=of-another-login", back))
    child.expect("Not taken: that belongs to another login")
    child.sendline("I have no idea")
    child.expect("Not taken: that is neither an address nor a code")
    child.sendline(back)
    assert ended(child)[0] == 0


def test_a_wrong_code_ends_the_login_and_stores_nothing(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--no-browser")
    shown_address(child)
    child.sendline("a-code-that-was-never-given")
    code, said = ended(child)
    assert code == 1
    assert "llm-mux: not logged in: the code was not accepted" in said
    assert login_accounts(terminal.store) == []


def test_strangers_at_the_listener_change_nothing(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--no-browser")
    address = shown_address(child)
    port = int(re.search(r"127\.0\.0\.1%3A(\d+)", address)[1])  # type: ignore[index]
    for request in (
        b"GET /callback?code=c&state=wrong HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n",
        b"GET /callback?error=access_denied HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n",
        b"GET /callback?code=c HTTP/1.1\r\nhost: evil.example\r\norigin: https://evil.example\r\n\r\n",
        b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01 no http\r\n\r\n",
        b"",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
            stranger.sendall(request)
            if request:
                answer = stranger.recv(4096)
                assert re.match(rb"HTTP/1\.1 4\d\d ", answer)
    page = sign_in(address)
    assert "You are signed in" in page
    assert ended(child)[0] == 0


def test_a_declined_login_is_said(terminal: Terminal) -> None:
    code, said = ended(terminal.type("login", "corp", browser=DECLINING))
    assert code == 1
    assert "not logged in: the login was declined in the browser" in said
    assert login_accounts(terminal.store) == []


def test_a_port_that_is_taken_is_said(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = ended(terminal.type("login", "corp", "--port", str(port)))
        assert code == 1
        assert f"port {port} is taken; choose another with --port" in said


def test_a_fixed_port_that_is_taken_leaves_pasting(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        terminal.configure(**{"redirect-port": port, "fixed-port": True})
        child = terminal.type("login", "corp", "--no-browser")
        child.expect(f"Port {port} is taken by another program")
        child.sendline(address_after(shown_address(child)))
        assert ended(child)[0] == 0


@pytest.mark.parametrize("way", ["--oauth", "--device"])
def test_ctrl_c_leaves_nothing_behind(terminal: Terminal, way: str) -> None:
    child = terminal.type("login", "corp", way, "--no-browser")
    child.expect("Waiting for")
    child.sendintr()
    code, said = ended(child)
    assert code == 130
    assert "Traceback" not in said
    assert login_accounts(terminal.store) == []


def test_an_input_that_ends_leaves_the_browser_to_come_back(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--no-browser")
    address = shown_address(child)
    child.sendeof()
    sign_in(address)
    assert ended(child)[0] == 0


def test_a_code_typed_on_another_device_brings_the_account_home(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--device", "--no-browser")
    child.expect(URL)
    address = str(child.match.group(1))
    child.expect(r"enter the code:  ([A-Z-]+)")
    assert str(child.match.group(1)) in address
    sign_in(address, "bob")
    code, said = ended(child)
    assert (code, "Logged in to corp/bob@corp.example" in said) == (0, True)
    assert terminal.credential("bob@corp.example").way == "device"


def test_a_code_that_nobody_typed_in_time_is_said(node_tools: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with oidc(node_tools, device=1) as short:
        code, said = ended(Terminal(tmp_path / "machine", short).type("login", "corp", "--device", "--no-browser"))
    assert code == 1
    assert "the code has expired before it was typed in" in said


def test_a_refresh_token_can_be_imported_from_standard_input(terminal: Terminal) -> None:
    ended(terminal.type("login", "corp", browser=BROWSER))
    token = terminal.credential().refresh
    other = Terminal(terminal.home.parent / "other", terminal.issuer)
    done = other.run("login", "corp", "--import", "-", stdin=token + "\n")
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr
    ((_, label),) = login_accounts(other.store)
    assert other.issuer.owner(other.credential(label).access) == "ada"


def test_logout_revokes_at_the_provider(terminal: Terminal) -> None:
    ended(terminal.type("login", "corp", browser=BROWSER))
    token = terminal.credential().access
    assert terminal.issuer.owner(token) == "ada"
    done = terminal.run("logout", "corp")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Forgot corp/ada@corp.example.\n", "")
    assert terminal.issuer.owner(token) == ""
    assert login_accounts(terminal.store) == []


def test_two_processes_that_find_one_token_overdue_ask_the_provider_once(terminal: Terminal) -> None:
    ended(terminal.type("login", "corp", browser=BROWSER))
    before = terminal.credential()
    over = msgspec.structs.replace(before, expires=time.time() - 5, obtained=time.time() - 3600)
    keep_login(terminal.store, StoredLogin("corp", "ada@corp.example", over))
    asked = len(terminal.issuer.grants("refresh_token"))
    env = clean_environment(terminal.home)
    command = [sys.executable, "-m", "llm_mux", "accounts", "test"]
    pair = [subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in pair:
        process.communicate(timeout=LIMIT_S)
    grants = terminal.issuer.grants("refresh_token")[asked:]
    assert [(each["status"], each["error"]) for each in grants] == [(200, None)]
    now = terminal.credential()
    assert now.refresh != before.refresh
    assert terminal.issuer.owner(now.access) == "ada"


def test_a_refresh_token_that_is_used_twice_ends_the_login_for_good(terminal: Terminal) -> None:
    ended(terminal.type("login", "corp", browser=BROWSER))
    used = terminal.credential()
    over = msgspec.structs.replace(used, expires=time.time() - 5, obtained=time.time() - 3600)
    for _ in range(2):
        keep_login(terminal.store, StoredLogin("corp", "ada@corp.example", over))
        done = terminal.run("accounts", "test")
    assert done.returncode == 1
    assert "has to be done again (the token endpoint refused (invalid_grant)" in done.stdout
    assert "Run `llm-mux login corp --oauth --name ada@corp.example`" in done.stdout
    assert used.refresh not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gemini", "--oauth"), "create an OAuth client ID of the type"),
        (("claude", "--oauth"), "Anthropic reserves Claude subscriptions for its own clients"),
    ],
)
def test_a_login_that_cannot_go_on_says_what_it_takes(
    terminal: Terminal, arguments: tuple[str, ...], message: str
) -> None:
    done = terminal.run("login", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.splitlines()[-1].startswith("llm-mux: not logged in:")


def test_a_warning_that_is_not_agreed_to_ends_the_login(terminal: Terminal) -> None:
    child = terminal.type("login", "claude", "--oauth", "--no-browser")
    child.expect("Anthropic reserves")
    child.expect(r"Go on all the same\? \[y/N\]")
    child.sendline("n")
    code, said = ended(child)
    assert (code, "not logged in: nothing was done" in said) == (1, True)


def test_the_api_key_stands_first_where_there_are_several_ways(terminal: Terminal) -> None:
    child = terminal.type("login", "claude", "--no-check")
    child.expect(r"1\) with an API key")
    child.expect(r"2\) Claude subscription")
    child.expect("Number")
    child.sendline("")
    child.expect("API key of anthropic")
    child.sendline("sk-ant-1")
    assert ended(child)[0] == 0


def test_a_client_with_a_secret_shows_it_as_the_issuer_wants(terminal: Terminal) -> None:
    terminal.configure(**{"client-id": "with-secret", "client-secret": "PLANTED-client-secret"})
    code, said = ended(terminal.type("login", "corp", browser=BROWSER))
    assert code == 0, said
    assert "PLANTED" not in said


def test_an_issuer_that_is_none_is_said(terminal: Terminal) -> None:
    terminal.configure(issuer=f"{terminal.issuer.url}/elsewhere")
    code, said = ended(terminal.type("login", "corp"))
    assert code == 1
    assert "the issuer's discovery document refused (invalid_request)" in said or "answered 404" in said
    terminal.configure(issuer="http://127.0.0.1:1")
    code, said = ended(terminal.type("login", "corp"))
    assert code == 1
    assert "is not reachable" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("corp", "--api-key"), "corp has no API keys"),
        (("corp", "--code-assist"), "corp has no --code-assist; it has: --oauth, --device, --import"),
        (("corp", "--oauth", "--device"), "exclude each other"),
        (("openai", "--device"), "openai has no --device; it has: --api-key"),
        (("openai", "--import"), "openai has nothing to import"),
        (("corp", "--import"), "say what to import"),
        (("corp", "--import", "no-such-file"), "no-such-file: cannot be read: No such file"),
    ],
)
def test_a_way_that_there_is_not_is_said(terminal: Terminal, arguments: tuple[str, ...], message: str) -> None:
    done = terminal.run("login", *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr


def test_a_typed_token_is_not_echoed(terminal: Terminal) -> None:
    child = terminal.type("login", "corp", "--import")
    child.expect("Token to import")
    assert child.waitnoecho(LIMIT_S)
    child.sendline("rt-PLANTED")
    code, said = ended(child)
    assert code == 1
    assert "PLANTED" not in said
