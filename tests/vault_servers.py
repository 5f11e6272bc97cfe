"""The servers that keep secrets for others, as processes of their own: OpenBao, which has Vault's interface, asked by its own
command; moto's server, which plays AWS."""

import contextlib
import os
import pathlib
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

PATIENCE_S = 30
ROOT_TOKEN = "root"


@dataclass(frozen=True, slots=True)
class OpenBao:
    url: str
    program: pathlib.Path
    ca: pathlib.Path | None = None

    def run(self, *arguments: str, given: str = "", namespace: str = "") -> str:
        """What the command of OpenBao says, as its root."""
        env = {**os.environ, "BAO_ADDR": self.url, "BAO_TOKEN": ROOT_TOKEN, "BAO_NAMESPACE": namespace}
        if self.ca is not None:
            env["BAO_CACERT"] = str(self.ca)
        command = [str(self.program), *arguments]
        done = subprocess.run(command, env=env, input=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextlib.contextmanager
def open_bao(tools: pathlib.Path, folder: pathlib.Path, *, tls: bool = False) -> Iterator[OpenBao]:
    """A server that is open, has KV version 2 at `secret/` and forgets everything at its end."""
    port = _free_port()
    program, scheme = tools / "bao", "https" if tls else "http"
    command = [str(program), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"]
    command += [f"-dev-listen-address=127.0.0.1:{port}"]
    command += ["-dev-tls", f"-dev-tls-cert-dir={folder}"] if tls else []
    with _running(command, "Root Token: "):
        yield OpenBao(f"{scheme}://127.0.0.1:{port}", program, next(folder.glob("*ca.pem")) if tls else None)


@contextlib.contextmanager
def moto(tools: pathlib.Path) -> Iterator[str]:
    """The address of an AWS that knows nobody yet and lets everybody do everything."""
    port = _free_port()
    command = [str(tools / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, "Running on "):
        yield f"http://127.0.0.1:{port}"


def only_who_may(url: str, *, everybody: bool = False) -> None:
    """From now on moto looks at policies and signatures (or no longer)."""
    header = {"Content-Type": "text/plain"}
    count = b"inf" if everybody else b"0"
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", data=count, headers=header)).close()


@contextlib.contextmanager
def _running(command: list[str], ready: str) -> Iterator[None]:
    """From when it has written that it is ready."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    said: list[bytes] = []
    heard = threading.Event()
    following = threading.Thread(target=_follow, args=(process, ready.encode(), said, heard))
    following.start()
    try:
        assert heard.wait(PATIENCE_S) and any(ready.encode() in line for line in said), b"".join(said).decode()
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        following.join()


def _follow(process: "subprocess.Popen[bytes]", ready: bytes, said: list[bytes], heard: threading.Event) -> None:
    """All it says, so that it never waits for a reader; `heard` when it is ready or has ended."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            said.append(line)
            if ready in line:
                heard.set()
    heard.set()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
