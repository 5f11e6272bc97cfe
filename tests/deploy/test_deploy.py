"""The files of deploy/: their settings exist, their commands run, and what they promise of the daemon is true."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from llm_mux.config import parse
from llm_mux.config.keys import env_paths
from llm_mux.config.load import OTHER_ENV
from tests.daemon import clean_environment

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())


class _Tags(yaml.SafeLoader):
    """CloudFormation's short tags, read as their arguments."""


_Tags.add_multi_constructor("!", lambda loader, suffix, node: str(getattr(node, "value", "")))


def instructions(path: pathlib.Path) -> list[tuple[str, str]]:
    """Name and argument of every instruction of a Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.strip().partition(" ") for line in lines)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: pathlib.Path) -> None:
    named = set(re.findall(r"LLM_MUX_[A-Z_]+", path.read_text(encoding="utf-8")))
    assert named - env_paths().keys() - OTHER_ENV == set()


def test_the_image_is_not_run_by_root_and_says_whether_it_is_well() -> None:
    found = dict(instructions(DEPLOY / "Dockerfile"))
    assert found["USER"] == "10001"
    assert found["STOPSIGNAL"] == "SIGTERM"
    assert found["HEALTHCHECK"].startswith("--interval=")
    assert json.loads(found["ENTRYPOINT"]) == ["llm-mux"]


def image_environment(path: pathlib.Path, home: pathlib.Path) -> dict[str, str]:
    """The image's own environment, with its folder moved to one that the test has."""
    pairs = (pair.partition("=") for name, rest in instructions(path) if name == "ENV" for pair in rest.split())
    said = {name: value for name, _, value in pairs if name != "PATH"}
    return {**clean_environment(home), **said, "LLM_MUX_HOME": str(home)}


def started(command: list[str], env: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """`llm-mux` with these arguments on a free port, and its address (loopback's, whatever it listens on)."""
    port = command.index("--port") + 1
    arguments = [*command[:port], "0", *command[port + 1 :]]
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_mux", *arguments], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"listening on http://[^:]+:(\d+)", line)
    assert found is not None, line
    return process, f"http://127.0.0.1:{found[1]}"


@pytest.mark.parametrize("name", ["Dockerfile", "lambda/Dockerfile"])
def test_the_command_of_an_image_serves_and_its_check_passes(name: str, tmp_path: pathlib.Path) -> None:
    found = dict(instructions(DEPLOY / name))
    env = {**image_environment(DEPLOY / name, tmp_path), "PROXY_API_KEY": "team"}
    command = [word for word in json.loads(found["CMD"]) if word != "llm-mux"]
    process, url = started(command, env)
    try:
        path = re.search(r"127\.0\.0\.1:8317(/\w+)|READINESS_CHECK_PATH=(/\w+)", str(found))
        assert path is not None
        code = f"import urllib.request; urllib.request.urlopen('{url}{path[1] or path[2]}', timeout=5)"
        subprocess.run([sys.executable, "-c", code], check=True)
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_the_image_refuses_to_serve_everybody_without_a_key(tmp_path: pathlib.Path) -> None:
    env = image_environment(DEPLOY / "Dockerfile", tmp_path)
    command = json.loads(dict(instructions(DEPLOY / "Dockerfile"))["CMD"])
    done = subprocess.run(
        [sys.executable, "-m", "llm_mux", *command], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "key" in done.stderr


def test_the_services_start_in_order_and_the_daemon_knows_both() -> None:
    made = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    daemon = made["services"]["llm-mux"]
    assert set(daemon["depends_on"]) == {"postgres", "redis"}
    assert all(wait == {"condition": "service_healthy"} for wait in daemon["depends_on"].values())
    assert all("healthcheck" in made["services"][name] for name in daemon["depends_on"])
    env = {name: re.sub(r"\$\{[^}]*\}", "x", value) for name, value in daemon["environment"].items()}
    config = parse("", None, env).config
    assert config.usage.database == "postgresql://llm_mux:x@postgres/llm_mux"
    assert config.redis_url == "redis://redis:6379/0"
    assert config.disable_auth is False


def test_the_lambda_streams_for_as_long_as_it_may_and_asks_for_a_key() -> None:
    template: Any = yaml.load((DEPLOY / "lambda" / "template.yaml").read_text(encoding="utf-8"), Loader=_Tags)
    gateway = template["Resources"]["Gateway"]["Properties"]
    assert gateway["Timeout"] == 900
    assert gateway["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM"
    env = {name: str(value) for name, value in gateway["Environment"]["Variables"].items()}
    config = parse("", None, env).config
    assert [provider.type for provider in config.providers] == ["bedrock"]
    assert config.disable_auth is False
    assert config.allowed_hosts == ("*.lambda-url.*.on.aws",)


def test_the_unit_is_one_that_systemd_takes(tmp_path: pathlib.Path) -> None:
    text = (DEPLOY / "llm-mux.service").read_text(encoding="utf-8")
    sections = re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)
    assert sections == ["Unit", "Service", "Install"]
    keys = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert keys["KillSignal"] == "SIGTERM"
    assert int(keys["TimeoutStopSec"]) > parse("", None, {}).config.drain_timeout
    if (tool := shutil.which("systemd-analyze")) is not None:
        unit = tmp_path / "llm-mux.service"
        unit.write_text(text.replace("/opt/llm-mux/bin/llm-mux", sys.executable), encoding="utf-8")
        done = subprocess.run(
            [tool, "verify", str(unit)], capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        assert "Unknown key" not in done.stderr
