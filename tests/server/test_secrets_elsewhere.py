"""A running daemon whose keys are in OpenBao or in AWS Secrets Manager (as moto plays it): a new value counts from the next
reading on, and what cannot be read changes nothing."""

import asyncio
import contextlib
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

import aiohttp
import boto3
import pytest

from tests.daemon import ROOT, clean_environment, config_text, process_daemon
from tests.fake_upstream import FakeUpstream, json_reply
from tests.server.test_reload import WHOLE, health
from tests.vault_servers import moto, only_who_may, open_bao

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no SIGHUP")

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True, slots=True)
class Keeper:
    """Whoever keeps the secret: how it is named, what the daemon's environment holds, and what its owner does to it."""

    reference: str
    env: Mapping[str, str]
    put: Callable[[str], object]
    close: Callable[[], object]
    open: Callable[[], object]
    said: str


@contextlib.contextmanager
def bao_keeper(tools: pathlib.Path, folder: pathlib.Path) -> Iterator[Keeper]:
    """Its owner takes the permission away by emptying the policy."""
    with open_bao(tools, folder) as bao:

        def policy(rules: str) -> None:
            bao.run("policy", "write", "reader", "-", given=rules)

        readable = 'path "secret/data/llm-mux" { capabilities = ["read"] }'
        policy(readable)
        bao.run("auth", "enable", "approle")
        bao.run("write", "auth/approle/role/mux", "token_policies=reader", "token_ttl=1h")
        role = bao.run("read", "-field=role_id", "auth/approle/role/mux/role-id")
        made = bao.run("write", "-force", "-field=secret_id", "auth/approle/role/mux/secret-id")
        yield Keeper(
            "vault:secret/data/llm-mux#key",
            {"VAULT_ADDR": bao.url, "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": made},
            lambda key: bao.run("kv", "put", "-mount=secret", "llm-mux", f"key={key}"),
            lambda: policy('path "secret/data/other" { capabilities = ["read"] }'),
            lambda: policy(readable),
            "vault:secret/data/llm-mux: the token may not read it",
        )


@contextlib.contextmanager
def aws_keeper(tools: pathlib.Path, folder: pathlib.Path) -> Iterator[Keeper]:
    """Its owner takes the permission away by looking at signatures at last."""
    with moto(tools) as url:
        who = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": "eu-west-1"}
        client = boto3.client("secretsmanager", endpoint_url=url, **who)
        client.create_secret(Name="llm-mux")
        yield Keeper(
            "aws:llm-mux#key",
            {
                "AWS_ENDPOINT_URL": url,
                "AWS_REGION": "eu-west-1",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "AKIANOBODYNOBODYNOBO",
                "AWS_SECRET_ACCESS_KEY": "x",
            },
            lambda key: client.put_secret_value(SecretId="llm-mux", SecretString=f'{{"key": "{key}"}}'),
            lambda: only_who_may(url),
            lambda: only_who_may(url, everybody=True),
            "aws:llm-mux: ",
        )


KEEPERS = {"vault": bao_keeper, "aws": aws_keeper}


@pytest.fixture(params=KEEPERS)
def keeper(request: pytest.FixtureRequest, deploy_tools: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Keeper]:
    with KEEPERS[request.param](deploy_tools, tmp_path) as made:
        made.put("sk-one")
        yield made


def entry(keeper: Keeper, url: str) -> dict[str, object]:
    return {"type": "openai-compatible", "id": "up", "base-url": url, "models": ["m"], "api-key": keeper.reference}


@contextlib.asynccontextmanager
async def asked(url: str, upstream: FakeUpstream) -> AsyncIterator[Callable[[], "asyncio.coroutines.Coroutine"]]:
    """What asks the daemon, and tells with which key it asked the upstream."""
    async with aiohttp.ClientSession(url) as client:

        async def sent() -> str:
            async with client.post("/v1/chat/completions", json=ASKED) as answer:
                assert answer.status == 200
            return str(upstream.last.headers["Authorization"]).removeprefix("Bearer ")

        yield sent


async def test_a_new_value_counts_at_sighup_and_one_that_may_not_be_read_changes_nothing(
    keeper: Keeper, tmp_path: pathlib.Path
) -> None:
    async with FakeUpstream() as upstream:
        upstream.on("/v1/chat/completions", json_reply(WHOLE))
        config = {"providers": [entry(keeper, f"{upstream.url}/v1")]}
        with process_daemon(tmp_path / "home", config, env=keeper.env) as mux:
            async with asked(mux.url, upstream) as sent, aiohttp.ClientSession(mux.url) as client:

                async def read_again() -> None:
                    before = (await health(client, lambda _: True))["config"]
                    mux.process.send_signal(signal.SIGHUP)
                    await health(client, lambda found: found["config"] != before)

                assert await sent() == "sk-one"
                keeper.put("sk-two")
                assert await sent() == "sk-one"
                await read_again()
                assert await sent() == "sk-two"

                keeper.put("sk-three")
                keeper.close()
                await read_again()
                found = (await health(client, lambda _: True))["config"]
                assert keeper.said in found["error"] and "sk-" not in found["error"]
                assert await sent() == "sk-two"

                keeper.open()
                await read_again()
                assert await sent() == "sk-three"


def test_a_daemon_whose_key_cannot_be_read_says_why_and_does_not_start(keeper: Keeper, tmp_path: pathlib.Path) -> None:
    keeper.close()
    file = tmp_path / "config.yaml"
    file.write_text(config_text({"providers": [entry(keeper, "http://127.0.0.1:9/v1")]}))
    command = [sys.executable, "-m", "llm_mux", "--config", str(file), "serve"]
    env = clean_environment(tmp_path, keeper.env)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert keeper.said in done.stderr
    assert "sk-" not in done.stdout + done.stderr
