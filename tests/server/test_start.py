"""What happens before the first request: no network at all. And the second listener, and who has the port."""

import pathlib
import socket
import subprocess
import sys

import aiohttp

from llm_mux.server.announce import EXIT_PORT
from tests.daemon import ROOT, clean_environment, config_text, process_daemon
from tests.fake_upstream import FakeUpstream, json_reply

# Python's own socket module reports to audit hooks; uvloop's does not, so the daemon has to do without it here.
WATCH = """
import os, sys
sys.modules["uvloop"] = None

def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        where = args[1] if event == "socket.connect" else args[:2]
        if isinstance(where, tuple):
            with open(os.environ["WATCH_FILE"], "a") as file:
                print(event, *where[:2], file=file)

sys.addaudithook(note)
"""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WHOLE = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}


async def test_nobody_is_connected_to_before_the_first_request(tmp_path: pathlib.Path) -> None:
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    seen = tmp_path / "connects"
    seen.touch()
    env = {"PYTHONPATH": str(tmp_path / "watch"), "WATCH_FILE": str(seen), "OPENAI_API_KEY": "sk-not-a-real-one"}
    async with FakeUpstream() as upstream:
        upstream.on("*", json_reply(WHOLE))
        entry = {"type": "openai-compatible", "id": "up", "base-url": f"{upstream.url}/v1", "api-key": "k"}
        config = {"discover": True, "providers": [entry], "aliases": {"fast": "up://m"}}
        with process_daemon(tmp_path / "home", config, env=env) as mux:
            async with aiohttp.ClientSession() as client:
                for path in ("/health", "/ready", "/metrics", "/"):
                    async with client.get(mux.url + path) as answer:
                        assert answer.status == 200
                lines = [line for line in seen.read_text().splitlines() if not line.endswith(" 0")]
                assert [line for line in lines if line.startswith("socket.connect")] == []
                assert not upstream.requests
                async with client.post(f"{mux.url}/v1/chat/completions", json={**CHAT, "model": "up://m"}) as answer:
                    assert answer.status == 200, await answer.text()
        port = upstream.url.rpartition(":")[2]
        connects = [line for line in seen.read_text().splitlines() if line.startswith("socket.connect")]
        assert connects == [f"socket.connect 127.0.0.1 {port}"], "the hook sees what there is to see"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def test_the_ollama_port_is_a_second_door_to_the_same_house(tmp_path: pathlib.Path) -> None:
    port = free_port()
    with process_daemon(tmp_path, {"ollama-port": port}, "--demo") as mux:
        assert mux.url != f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as client:
            for url in (mux.url, f"http://127.0.0.1:{port}"):
                async with client.get(f"{url}/api/tags") as answer:
                    assert "demo" in {model["name"] for model in (await answer.json())["models"]}
                async with client.get(f"{url}/api/tags", headers={"Host": "evil.example"}) as answer:
                    assert answer.status == 403


def test_a_taken_port_is_named_whichever_it_is(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        for config in ({"port": taken}, {"ollama-port": taken}):
            path = tmp_path / "config.yaml"
            path.write_text(config_text(config))
            command = [sys.executable, "-m", "llm_mux", "--config", str(path), "serve"]
            got = subprocess.run(
                command,
                cwd=ROOT,
                env=clean_environment(tmp_path),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert got.returncode == EXIT_PORT
            assert f"cannot listen on 127.0.0.1:{taken}: " in got.stderr
            assert "choose another port" in got.stderr
            assert got.stderr.count("\n") == 1
            assert "Traceback" not in got.stderr
            assert got.stdout == ""
