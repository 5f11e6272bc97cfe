"""Secrets that others keep: mounted files; a server of OpenBao, which has Vault's interface, set up by its own command;
AWS Secrets Manager and STS as moto plays them, set up by AWS's own library."""

import contextlib
import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from llm_mux.auth import vaults
from llm_mux.auth.keys import resolve
from llm_mux.auth.sealed import StoreError
from tests.gateway.test_upstream_connections import certificate
from tests.vault_servers import OpenBao, moto, only_who_may, open_bao

POD = "system:serviceaccount:team:mux"
READER = 'path "secret/data/llm-mux" { capabilities = ["read"] }\npath "kv/llm-mux" { capabilities = ["read"] }'


@contextlib.contextmanager
def answered_by(answer: Callable[[str], tuple[int, object, dict[str, str]]]) -> Iterator[str]:
    """The address of a server that answers a path with a status, a document and headers."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body, headers = answer(self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

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


def kubernetes(path: str) -> tuple[int, object, dict[str, str]]:
    """The cluster's word that a token is the pod's."""
    assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
    user = {"username": POD, "uid": "1", "groups": ["system:serviceaccounts"]}
    status = {"authenticated": True, "user": user}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}
    return 201, review, {"Content-Type": "application/json"}


def pod_token() -> str:
    key = RSAKey.generate_key(2048)
    account = {"name": "mux", "uid": "1"}
    claims = {
        "sub": POD,
        "nbf": int(time.time()) - 60,
        "exp": int(time.time()) + 3600,
        "iss": "https://kubernetes.default.svc",
    }
    return jwt.encode(
        {"alg": "RS256"}, {**claims, "kubernetes.io": {"namespace": "team", "serviceaccount": account}}, key
    )


@pytest.fixture(scope="module")
def bao(deploy_tools: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    folder = tmp_path_factory.mktemp("bao")
    _, ca = certificate(folder, "127.0.0.1")
    with answered_by(kubernetes) as cluster, open_bao(deploy_tools, folder) as server:
        server.run("policy", "write", "reader", "-", given=READER)
        server.run("secrets", "enable", "-version=1", "kv")
        for method in ("approle", "kubernetes"):
            server.run("auth", "enable", method)
        server.run("write", "auth/approle/role/mux", "token_policies=reader", "token_ttl=1h")
        server.run(
            *("write", "auth/kubernetes/config", f"kubernetes_host={cluster}", "disable_local_ca_jwt=true"),
            *("token_reviewer_jwt=x", f"kubernetes_ca_cert=@{ca}", "disable_iss_validation=true"),
        )
        server.run(
            *("write", "auth/kubernetes/role/mux", "bound_service_account_names=mux", "token_ttl=1h"),
            *("bound_service_account_namespaces=team", "token_policies=reader"),
        )
        server.run("namespace", "create", "team")
        server.run("secrets", "enable", "-path=secret", "-version=2", "kv", namespace="team")
        server.run("kv", "put", "-mount=secret", "llm-mux", "openai=sk-of-the-team", namespace="team")
        server.run("kv", "put", "-mount=kv", "llm-mux", "openai=sk-of-kv1", "other=x")
        yield server


@pytest.fixture
def secret(bao: OpenBao) -> str:
    """The path of the secret that each test finds as it was made."""
    vaults._tokens.clear()
    bao.run("kv", "put", "-mount=secret", "llm-mux", "openai=sk-of-vault")
    return "vault:secret/data/llm-mux"


def approle(bao: OpenBao) -> dict[str, str]:
    role = bao.run("read", "-field=role_id", "auth/approle/role/mux/role-id")
    made = bao.run("write", "-force", "-field=secret_id", "auth/approle/role/mux/secret-id")
    return {"VAULT_ADDR": bao.url, "VAULT_ROLE_ID": role, "VAULT_SECRET_ID": made}


def pod(bao: OpenBao, folder: pathlib.Path) -> dict[str, str]:
    (folder / "jwt").write_text(pod_token())
    return {"VAULT_ADDR": bao.url, "VAULT_ROLE": "mux", "VAULT_JWT_FILE": str(folder / "jwt")}


@pytest.mark.parametrize("way", ["token", "approle", "kubernetes"])
def test_vault_is_asked_in_each_of_its_ways(bao: OpenBao, secret: str, tmp_path: pathlib.Path, way: str) -> None:
    match way:
        case "token":
            env = {"VAULT_ADDR": bao.url, "VAULT_TOKEN": bao.run("token", "create", "-policy=reader", "-field=token")}
        case "approle":
            env = approle(bao)
        case _:
            env = pod(bao, tmp_path)
    assert resolve(f"{secret}#openai", env, None) == ["sk-of-vault"]
    assert resolve(secret, env, None) == ["sk-of-vault"], "the only field needs no name"
    assert resolve("vault:kv/llm-mux#openai", env, None) == ["sk-of-kv1"]
    bao.run("kv", "put", "-mount=secret", "llm-mux", "openai=sk-newer")
    assert resolve(f"{secret}#openai", env, None) == ["sk-newer"]


def test_a_namespace_has_secrets_of_its_own(bao: OpenBao, secret: str) -> None:
    env = {"VAULT_ADDR": bao.url, "VAULT_TOKEN": "root"}
    assert resolve(secret, {**env, "VAULT_NAMESPACE": "team"}, None) == ["sk-of-the-team"]
    assert resolve(secret, env, None) == ["sk-of-vault"]


def test_a_token_is_used_again_and_a_new_one_asked_for_when_it_was_revoked(bao: OpenBao, secret: str) -> None:
    env = approle(bao)
    for _ in range(3):
        assert resolve(secret, env, None) == ["sk-of-vault"]
    ((token, _),) = vaults._tokens.values()
    bao.run("token", "revoke", token)
    assert resolve(secret, env, None) == ["sk-of-vault"]
    ((newer, _),) = vaults._tokens.values()
    assert newer != token
    bao.run("write", "auth/approle/role/mux", "token_policies=default", "token_ttl=1h")
    try:
        bao.run("token", "revoke", newer)
        with pytest.raises(StoreError, match="the token may not read it"):
            resolve(secret, env, None)
    finally:
        bao.run("write", "auth/approle/role/mux", "token_policies=reader", "token_ttl=1h")


def test_a_vault_that_is_asked_too_often_is_asked_again_when_it_says(bao: OpenBao, secret: str) -> None:
    env = {"VAULT_ADDR": bao.url, "VAULT_TOKEN": "root"}
    bao.run("write", "sys/quotas/rate-limit/kv", "path=kv", "rate=2", "interval=1s")
    try:
        assert [resolve("vault:kv/llm-mux#openai", env, None) for _ in range(5)] == [["sk-of-kv1"]] * 5
    finally:
        bao.run("delete", "sys/quotas/rate-limit/kv")


def test_a_vault_that_goes_on_saying_too_often_is_believed() -> None:
    tried: list[str] = []

    def answer(path: str) -> tuple[int, object, dict[str, str]]:
        tried.append(path)
        return 429, {"errors": ["request path kv/x: rate limit quota exceeded"]}, {"Retry-After": "0"}

    with answered_by(answer) as url:
        with pytest.raises(StoreError, match=r"it answered 429 \(request path kv/x: rate limit quota exceeded\)"):
            resolve("vault:kv/x", {"VAULT_ADDR": url, "VAULT_TOKEN": "t"}, None)
    assert tried == ["/v1/kv/x"] * 3


@pytest.mark.parametrize(
    ("env", "reference", "said"),
    [
        ({}, "vault:secret/data/llm-mux#openai", "needs VAULT_ADDR"),
        ({"VAULT_ADDR": "URL"}, "vault:secret/data/llm-mux#openai", "needs VAULT_TOKEN, VAULT_ROLE_ID"),
        ({"VAULT_ADDR": "URL", "VAULT_TOKEN": "no"}, "vault:secret/data/llm-mux#openai", "the token may not read it"),
        ({"VAULT_ADDR": "URL", "VAULT_TOKEN": "root"}, "vault:secret/data/gone#openai", "there is nothing$"),
        (
            {"VAULT_ADDR": "URL", "VAULT_TOKEN": "root"},
            "vault:secret/llm-mux#openai",
            r"there is nothing \(Invalid path for a versioned K/V secrets engine",
        ),
        (
            {"VAULT_ADDR": "URL", "VAULT_TOKEN": "root"},
            "vault:kv/llm-mux",
            "name one of its fields by #: openai, other",
        ),
        (
            {"VAULT_ADDR": "URL", "VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": "s"},
            "vault:kv/llm-mux#openai",
            r"auth/approle/login: it answered 400 \(invalid role or secret ID\)",
        ),
        ({"VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "root"}, "vault:kv/llm-mux#x", "does not answer"),
        (
            {"VAULT_ADDR": "https://127.0.0.1:9", "VAULT_TOKEN": "root", "VAULT_CACERT": "/nowhere"},
            "vault:kv/llm-mux#x",
            "VAULT_CACERT cannot be read: No such file",
        ),
    ],
)
def test_what_vault_does_not_give_is_said_without_a_secret(
    bao: OpenBao, secret: str, env: dict[str, str], reference: str, said: str
) -> None:
    around = {name: bao.url if value == "URL" else value for name, value in env.items()}
    if "VAULT_ADDR" not in around:
        around["VAULT_TOKEN"] = "root"
    with pytest.raises(StoreError, match=said) as caught:
        resolve(reference, around, None)
    assert "sk-of" not in str(caught.value)


def test_a_secret_that_was_deleted_is_not_there(bao: OpenBao, secret: str) -> None:
    bao.run("kv", "delete", "-mount=secret", "llm-mux")
    with pytest.raises(StoreError, match="there is nothing"):
        resolve(secret, {"VAULT_ADDR": bao.url, "VAULT_TOKEN": "root"}, None)


def test_vault_is_trusted_by_its_certificate_and_says_that_it_is_sealed(
    deploy_tools: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with open_bao(deploy_tools, tmp_path, tls=True) as server:
        server.run("kv", "put", "-mount=secret", "llm-mux", "openai=sk-behind-tls")
        env = {"VAULT_ADDR": server.url, "VAULT_TOKEN": "root", "VAULT_CACERT": str(server.ca)}
        assert resolve("vault:secret/data/llm-mux", env, None) == ["sk-behind-tls"]
        with pytest.raises(StoreError, match=r"does not answer .SSLCertVerificationError"):
            resolve("vault:secret/data/llm-mux", {**env, "VAULT_CACERT": ""}, None)
        server.run("operator", "seal")
        with pytest.raises(StoreError, match=r"it answered 503 \(Vault is sealed\)"):
            resolve("vault:secret/data/llm-mux", env, None)


@pytest.fixture(scope="module")
def aws(deploy_tools: pathlib.Path) -> Iterator[str]:
    """An account with two users, of whom one may read secrets, and with a role for pods."""
    with moto(deploy_tools) as url:
        yield url


class Account:
    """What AWS's own library changes in it, as somebody who may."""

    def __init__(self, url: str) -> None:
        self._url = url

    def client(self, service: str) -> Any:
        known = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": "eu-west-1"}
        return boto3.client(service, endpoint_url=self._url, **known)

    def user(self, name: str, *, may: str = "") -> dict[str, str]:
        """The variables with which a program is this new user."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if may:
            statement = [{"Effect": "Allow", "Action": may, "Resource": "*"}]
            document = json.dumps({"Version": "2012-10-17", "Statement": statement})
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}


@pytest.fixture
def account(aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[Account]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": aws,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    only_who_may(aws, everybody=True)
    account = Account(aws)
    account.client("secretsmanager").create_secret(Name="mux", SecretString='{"openai": "sk-of-aws", "other": "x"}')
    account.client("secretsmanager").create_secret(Name="plain", SecretString="sk-plain")
    account.client("secretsmanager").create_secret(Name="binary", SecretBinary=b"\x00\x01")
    yield account
    only_who_may(aws, everybody=True)
    for name in ("mux", "plain", "binary"):
        account.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_a_secret_of_aws_is_a_text_or_a_field_and_read_anew_each_time(account: Account) -> None:
    assert resolve("aws:mux#openai", {}, None) == ["sk-of-aws"]
    assert resolve("aws:plain", {}, None) == ["sk-plain"]
    account.client("secretsmanager").put_secret_value(SecretId="plain", SecretString="sk-newer")
    assert resolve("aws:plain", {}, None) == ["sk-newer"]
    arn = account.client("secretsmanager").describe_secret(SecretId="mux")["ARN"]
    assert resolve(f"aws:{arn}#other", {}, None) == ["x"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("aws:gone", r"aws:gone: ResourceNotFoundException \(Secrets Manager can't find the specified secret"),
        ("aws:mux#none", "has no text of that name; name one of its fields by #: openai, other"),
        ("aws:plain#openai", "name one of its fields by #: nothing"),
        ("aws:binary", "aws:binary has no text"),
    ],
)
def test_what_aws_does_not_give_is_said_without_a_secret(account: Account, reference: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        resolve(reference, {}, None)
    assert "sk-" not in str(caught.value)


def test_a_secret_of_aws_that_is_to_be_deleted_is_not_read(account: Account) -> None:
    account.client("secretsmanager").delete_secret(SecretId="plain", RecoveryWindowInDays=7)
    with pytest.raises(StoreError, match=r"aws:plain: InvalidRequestException .*marked (for deletion|deleted)"):
        resolve("aws:plain", {}, None)


def test_only_who_may_read_it_reads_it(account: Account, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = account.user("reader", may="secretsmanager:GetSecretValue")
    other = account.user("other")
    only_who_may(aws)

    def asked_by(who: dict[str, str]) -> list[str]:
        for name, value in who.items():
            monkeypatch.setenv(name, value)
        return resolve("aws:plain", {}, None)

    assert asked_by(reader) == ["sk-plain"]
    with pytest.raises(StoreError, match="not authorized to perform: secretsmanager:GetSecretValue"):
        asked_by(other)
    with pytest.raises(StoreError, match="SignatureDoesNotMatch"):
        asked_by({**reader, "AWS_SECRET_ACCESS_KEY": "another"})
    with pytest.raises(StoreError, match=r"UnrecognizedClientException|InvalidClientTokenId"):
        asked_by({**reader, "AWS_ACCESS_KEY_ID": "AKIANOBODYNOBODYNOBO"})


def test_a_pod_of_aws_reads_as_its_role(
    account: Account, aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """The service account's token is taken to STS, whose keys then sign."""
    trust = {"Version": "2012-10-17", "Statement": []}
    iam = account.client("iam")
    role = iam.create_role(RoleName="mux", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    (tmp_path / "token").write_text(pod_token())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="Unable to locate credentials"):
        resolve("aws:plain", {}, None)
    monkeypatch.setenv("AWS_ROLE_ARN", role)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    assert resolve("aws:plain", {}, None) == ["sk-plain"]


def test_aws_that_is_asked_too_often_is_asked_again(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def answer(path: str) -> tuple[int, object, dict[str, str]]:
        tried.append(path)
        if len(tried) < 3:
            return 400, {"__type": "ThrottlingException", "message": "Rate exceeded"}, {}
        return 200, {"Name": "plain", "SecretString": "sk-in-the-end"}, {}

    with answered_by(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        assert resolve("aws:plain", {}, None) == ["sk-in-the-end"]
        assert len(tried) == 3
