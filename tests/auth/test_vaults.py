"""Secrets that others keep: files, Vault (a stand-in that follows its documented HTTP interface, for the real one is not
to be had from the package indexes), AWS Secrets Manager (a stand-in for its JSON protocol, asked by botocore itself)."""

import json
import pathlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from llm_mux.auth.keys import resolve
from llm_mux.auth.sealed import StoreError

SECRETS = {
    "/v1/secret/data/llm-mux": {"data": {"data": {"openai": "sk-of-vault"}, "metadata": {"version": 3}}},
    "/v1/kv/llm-mux": {"data": {"openai": "sk-of-kv1", "other": "x"}},
}


class Handler(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        if self.headers.get("X-Vault-Token") not in ("root", "of-the-pod", "of-the-role"):
            return self._answer(403, {"errors": ["permission denied"]})
        found = SECRETS.get(self.path)
        return self._answer(404, {"errors": []}) if found is None else self._answer(200, found)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, dict(self.headers)))
        if self.headers.get("X-Amz-Target") == "secretsmanager.GetSecretValue":
            secrets = {"mux": '{"openai": "sk-of-aws"}', "plain": "sk-plain"}
            if body["SecretId"] not in secrets:
                return self._answer(400, {"__type": "ResourceNotFoundException", "Message": "no"})
            return self._answer(200, {"Name": body["SecretId"], "SecretString": secrets[body["SecretId"]]})
        tokens = {"/v1/auth/kubernetes/login": "of-the-pod", "/v1/auth/approle/login": "of-the-role"}
        good = body in ({"role": "mux", "jwt": "pod-jwt"}, {"role_id": "r", "secret_id": "s"})
        if not good or self.path not in tokens:
            return self._answer(400, {"errors": ["invalid role"]})
        return self._answer(200, {"auth": {"client_token": tokens[self.path], "lease_duration": 3600}})


@contextmanager
def served() -> Iterator[str]:
    Handler.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_mounted_file_is_read_anew_each_time(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-one\n")
    assert resolve(f"file:{file}", {}, None) == ["sk-one"]
    file.write_text("sk-two\n")
    assert resolve(f"file:{file}", {}, None) == ["sk-two"]
    file.write_text("\n")
    with pytest.raises(StoreError, match=r"file:.*key is empty"):
        resolve(f"file:{file}", {}, None)
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        resolve(f"file:{tmp_path}/gone", {}, None)


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({"VAULT_TOKEN": "root"}, "secret/data/llm-mux#openai"),
        ({"VAULT_TOKEN": "root"}, "secret/data/llm-mux"),
        ({"VAULT_TOKEN": "root", "VAULT_NAMESPACE": "team"}, "secret/data/llm-mux#openai"),
        ({"VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": "s"}, "secret/data/llm-mux#openai"),
        ({"VAULT_ROLE": "mux"}, "secret/data/llm-mux#openai"),
    ],
    ids=["token", "the only field", "namespace", "approle", "kubernetes"],
)
def test_vault_is_asked_in_each_of_its_ways(tmp_path: pathlib.Path, env: dict[str, str], path: str) -> None:
    (tmp_path / "jwt").write_text("pod-jwt")
    with served() as url:
        around = {**env, "VAULT_ADDR": url, "VAULT_JWT_FILE": str(tmp_path / "jwt")}
        assert resolve(f"vault:{path}", around, None) == ["sk-of-vault"]
        assert resolve("vault:kv/llm-mux#openai", around, None) == ["sk-of-kv1"]
        logins = [path for path, _ in Handler.seen if path.endswith("/login")]
        assert len(logins) == ("VAULT_TOKEN" not in env), "a token is used again"
        assert all(headers.get("X-Vault-Namespace") == env.get("VAULT_NAMESPACE") for _, headers in Handler.seen)


@pytest.mark.parametrize(
    ("env", "reference", "said"),
    [
        ({}, "vault:secret/data/llm-mux#openai", "needs VAULT_ADDR"),
        ({"VAULT_ADDR": "URL"}, "vault:secret/data/llm-mux#openai", "needs VAULT_TOKEN, VAULT_ROLE_ID"),
        ({"VAULT_ADDR": "URL", "VAULT_TOKEN": "no"}, "vault:secret/data/llm-mux#openai", "the token may not read it"),
        ({"VAULT_ADDR": "URL", "VAULT_TOKEN": "root"}, "vault:secret/data/gone#openai", "there is nothing"),
        (
            {"VAULT_ADDR": "URL", "VAULT_TOKEN": "root"},
            "vault:kv/llm-mux",
            "name one of its fields by #: openai, other",
        ),
        ({"VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "root"}, "vault:kv/llm-mux#x", "does not answer"),
    ],
)
def test_what_vault_does_not_give_is_said_without_a_secret(env: dict[str, str], reference: str, said: str) -> None:
    with served() as url:
        around = {"VAULT_ADDR" if k == "VAULT_ADDR" else k: url if v == "URL" else v for k, v in env.items()}
        if "VAULT_ADDR" not in around:
            around["VAULT_TOKEN"] = "root"
        with pytest.raises(StoreError, match=said) as caught:
            resolve(reference, around, None)
    assert "sk-of" not in str(caught.value)


def test_aws_secrets_manager_is_asked_by_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert resolve("aws:mux#openai", {}, None) == ["sk-of-aws"]
        assert resolve("aws:plain", {}, None) == ["sk-plain"]
        with pytest.raises(StoreError, match="aws:gone: ResourceNotFoundException"):
            resolve("aws:gone", {}, None)
        assert all("AWS4-HMAC-SHA256" in headers["Authorization"] for _, headers in Handler.seen)
