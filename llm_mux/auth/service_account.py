"""Service accounts: a signed statement instead of a person (JWT bearer, RFC 7523), from Google's JSON key files.

The key file itself is what gets the next token, so the credential carries it in `extra`.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from llm_mux.auth.base import Credential, Flow, LoginError, OAuth, Wish
from llm_mux.auth.discovery import insecure
from llm_mux.auth.tokens import grant

WAY = "service-account"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_KEY_FILE = "key-file"
_LIFE_S = 3600
_ARMOUR = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)


def service_account(oauth: OAuth, wish: Wish, text: str) -> Flow:
    """From a key file's text to a first token, which proves that the key works."""
    file = key_file(text)
    first = Credential(
        access="",
        way=WAY,
        id=file["client_email"],
        email=file["client_email"],
        extra={_KEY_FILE: msgspec.json.encode(file).decode(), "project": file.get("project_id", ""), **wish.extra},
    )
    return (yield from refresh(oauth, first, wish.now))


def refresh(oauth: OAuth, credential: Credential, now: float) -> Flow:
    """The next token of a service account, asked for with a statement signed now."""
    file = key_file(credential.extra.get(_KEY_FILE, ""))
    client = _client(oauth, file)
    try:
        new = yield from grant(client, _GRANT, assertion=statement(file, client.token_url, oauth.scopes, now))
    except LoginError as error:
        # A statement from a wrong clock is refused under the same code, and is good again when the clock is.
        error.final = error.code == "invalid_grant" and "timeframe" not in str(error)
        raise
    return msgspec.structs.replace(credential, access=new.access, expires=new.expires, obtained=new.at)


def _client(oauth: OAuth, file: Mapping[str, str]) -> OAuth:
    """The statement says who asks, so no client does; the file's own address counts."""
    url = file.get("token_uri") or oauth.token_url
    problem = insecure(url)
    if problem:
        raise LoginError(f"the key file's token_uri: {problem}")
    return replace(oauth, token_url=url, client_id="", client_secret="")


def statement(file: Mapping[str, str], audience: str, scopes: tuple[str, ...], now: float) -> str:
    """The signed statement for the token endpoint `audience`; the same for the same moment."""
    from joserfc import jwk, jwt
    from joserfc.errors import JoseError

    name, issued = file["client_email"], int(now)
    claims = {
        "iss": name,
        "aud": audience,
        "scope": " ".join(scopes),
        "iat": issued,
        "exp": issued + _LIFE_S,
        "jti": hashlib.sha256(f"{name} {now}".encode()).hexdigest()[:32],
    }
    header = {"alg": "RS256", "typ": "JWT"}
    if file.get("private_key_id"):
        header["kid"] = file["private_key_id"]
    try:
        return jwt.encode(header, claims, jwk.RSAKey.import_key(file["private_key"]), algorithms=["RS256"])
    except (JoseError, ValueError, TypeError) as error:
        raise LoginError("the key file's private_key cannot be read; download the file again", final=True) from error


def key_file(text: str) -> dict[str, str]:
    """A key file's fields with its private key made good. Raises `LoginError`."""
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise LoginError("the key file is not JSON", final=True) from error
    if not isinstance(found, dict) or found.get("type") != "service_account":
        raise LoginError('this is no key file of a service account (its "type" says so)', final=True)
    file = {str(name): value for name, value in found.items() if isinstance(value, str)}
    missing = [name for name in ("client_email", "private_key") if not file.get(name)]
    if missing:
        raise LoginError(f"the key file has no {missing[0]}", final=True)
    file["private_key"] = repaired(file["private_key"])
    return file


def repaired(pem: str) -> str:
    """A PEM block whose line ends were lost: written as `\\n`, turned into spaces, or left out. Others stay as they
    are."""
    text = pem.strip().strip("'\"").replace("\\r", "").replace("\\n", "\n").replace("\r", "")
    found = _ARMOUR.search(text)
    if found is None:
        body = "".join(text.split())
        if not re.fullmatch(r"[A-Za-z0-9+/]{100,}={0,2}", body):
            return pem
        label = "PRIVATE KEY"
    else:
        label, body = found[1], "".join(found[2].split())
    lines = "\n".join(textwrap.wrap(body, 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"
