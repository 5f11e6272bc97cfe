"""Secrets that others keep: mounted files, HashiCorp Vault, AWS Secrets Manager; what `file:`, `vault:`, `aws:` name.

Rule: a secret is read when the configuration is, and kept nowhere else. Everything here blocks. Vault is asked over its
documented HTTP interface (developer.hashicorp.com/vault/api-docs): a token of the environment, an AppRole, or the
service account of a Kubernetes pod; AWS through botocore, whose credential chain and endpoints hold (`llm-mux[aws]`).
"""

from __future__ import annotations

import contextlib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llm_mux.auth.sealed import StoreError
from llm_mux.config.references import Reference

_TIMEOUT_S = 5.0
_POD_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
_MOST_BYTES = 1 << 20
_MOST_SAID = 300
_FORBIDDEN, _NOTHING, _TOO_MANY = 403, 404, 429
_TRIES = 3
_LONGEST_PAUSE_S = 2.0
_tokens: dict[tuple[str, ...], tuple[str, float]] = {}


class _Denied(StoreError):
    """A token may not read what it is shown for."""


def read(found: Reference, env: Mapping[str, str]) -> str:
    """The secret that a reference of one of these kinds names. Raises StoreError, which says what to do."""
    name, _, field = found.name.partition("#")
    match found.kind:
        case "file":
            return _file(found.name)
        case "vault":
            return _field(found, _vault(name, env), field)
        case _:
            text = _aws(name)
            return _field(found, _decoded(text), field) if field else text


def _file(name: str) -> str:
    try:
        text = Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StoreError(f"file:{name} cannot be read: {why}") from error
    if not text:
        raise StoreError(f"file:{name} is empty")
    return text


def _field(found: Reference, values: Mapping[str, Any], field: str) -> str:
    """One value of a secret that has several; without a name the only one."""
    name = field or (next(iter(values)) if len(values) == 1 else "")
    value = values.get(name)
    if not isinstance(value, str) or not value:
        there = ", ".join(sorted(values)) or "nothing"
        raise StoreError(f"{found.kind}:{found.name} has no text of that name; name one of its fields by #: {there}")
    return value


def _decoded(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _vault(path: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The values at a path of the API, such as `secret/data/llm-mux` (KV version 2) or `kv/llm-mux` (version 1)."""
    login = None if env.get("VAULT_TOKEN") else _login(env)
    token, used_again = (env["VAULT_TOKEN"], False) if login is None else _token_of(login, env)
    try:
        found = _answer(env, path, None, token)
    except _Denied:
        # A token may end before its time: revoked, or used as often as it may be.
        if login is None or not used_again:
            raise
        _tokens.pop(_who(login, env), None)
        found = _answer(env, path, None, _token_of(login, env)[0])
    data = found.get("data") or {}
    inner = data.get("data")
    return inner if isinstance(inner, dict) and "metadata" in data else data


def _login(env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Where this program logs in, and as whom."""
    if env.get("VAULT_ROLE_ID"):
        body = {"role_id": env["VAULT_ROLE_ID"], "secret_id": env.get("VAULT_SECRET_ID", "")}
        return env.get("VAULT_AUTH_MOUNT", "approle"), body
    if role := env.get("VAULT_ROLE"):
        return env.get("VAULT_AUTH_MOUNT", "kubernetes"), {
            "role": role,
            "jwt": _file(env.get("VAULT_JWT_FILE", _POD_TOKEN)),
        }
    raise StoreError("vault: needs VAULT_TOKEN, VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_ROLE in a Kubernetes pod")


def _who(login: tuple[str, dict[str, str]], env: Mapping[str, str]) -> tuple[str, ...]:
    mount, body = login
    return env.get("VAULT_ADDR", ""), env.get("VAULT_NAMESPACE", ""), mount, next(iter(body.values()))


def _token_of(login: tuple[str, dict[str, str]], env: Mapping[str, str]) -> tuple[str, bool]:
    """A token for who this is, used until half of its life is over, and whether it was used before."""
    who = _who(login, env)
    token, until = _tokens.get(who, ("", 0.0))
    if time.monotonic() < until:
        return token, True
    mount, body = login
    found = _answer(env, f"auth/{mount}/login", body, "").get("auth") or {}
    token = str(found.get("client_token", ""))
    _tokens[who] = token, time.monotonic() + float(found.get("lease_duration", 0)) / 2
    return token, False


def _answer(env: Mapping[str, str], path: str, body: Mapping[str, str] | None, token: str) -> dict[str, Any]:
    request = _request(env, path, body, token)
    trusted = _trust(env.get("VAULT_CACERT")) if request.type == "https" else None
    for tries_left in reversed(range(_TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=trusted) as answer:  # noqa: S310  # checked
                return _decoded(answer.read(_MOST_BYTES).decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            if error.code == _TOO_MANY and tries_left:
                error.close()
                time.sleep(_pause(error.headers.get("Retry-After"), tries_left))
                continue
            raise _refusal(path, error) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            address = f"{request.type}://{request.host}"
            raise StoreError(f"vault: {address} does not answer ({type(reason).__name__})") from error
    raise AssertionError("the last try returns or raises")


def _request(env: Mapping[str, str], path: str, body: Mapping[str, str] | None, token: str) -> urllib.request.Request:
    address = env.get("VAULT_ADDR", "").rstrip("/")
    if not address.startswith(("https://", "http://")):
        raise StoreError("vault: needs VAULT_ADDR, such as https://vault.example.com:8200")
    headers = {"X-Vault-Request": "true", "Content-Type": "application/json"}
    if token:
        headers["X-Vault-Token"] = token
    if namespace := env.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = namespace
    data = None if body is None else msgspec.json.encode(body)
    return urllib.request.Request(f"{address}/v1/{path.strip('/')}", data=data, headers=headers)  # noqa: S310  # checked


def _trust(file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None)
    except OSError as error:
        why = error.strerror or error
        raise StoreError(f"vault: the certificates of VAULT_CACERT cannot be read: {why}") from error


def _pause(asked: str | None, tries_left: int) -> float:
    """Seconds until a server that is asked too often is asked again: what it says, else longer each time."""
    try:
        return max(0.0, min(float(asked or _LONGEST_PAUSE_S / 2**tries_left), _LONGEST_PAUSE_S))
    except ValueError:
        return _LONGEST_PAUSE_S


def _refusal(path: str, error: urllib.error.HTTPError) -> StoreError:
    with error:
        said = _decoded(error.read(_MOST_BYTES).decode("utf-8", "replace"))
    if error.code == _FORBIDDEN and not path.startswith("auth/"):
        return _Denied(f"vault:{path}: the token may not read it")
    what = "there is nothing" if error.code == _NOTHING else f"it answered {error.code}"
    return StoreError(f"vault:{path}: {what}{_in_brackets(said.get('errors') or said.get('warnings'))}")


def _in_brackets(said: Any) -> str:
    """The first of a list of messages, such as of a path of the other version of KV."""
    first = said[0] if isinstance(said, list) and said else ""
    return f" ({_short(first)})" if isinstance(first, str) and first else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SAID else f"{line[:_MOST_SAID]}..."


def _aws(name: str) -> str:
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import get_session
    except ModuleNotFoundError as error:
        raise StoreError("aws: needs botocore; install it with: pip install 'llm-mux[aws]'") from error
    quick = Config(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries={"max_attempts": 2})
    try:
        client: Any = get_session().create_client("secretsmanager", config=quick)
        with contextlib.closing(client):
            found = client.get_secret_value(SecretId=name)
    except ClientError as error:
        said = error.response.get("Error", {})
        raise StoreError(f"aws:{name}: {said.get('Code', 'refused')}{_in_brackets([said.get('Message')])}") from error
    except BotoCoreError as error:
        raise StoreError(f"aws:{name}: {error}") from error
    text = found.get("SecretString")
    if not text:
        raise StoreError(f"aws:{name} has no text")
    return str(text)
