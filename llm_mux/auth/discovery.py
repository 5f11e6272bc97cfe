"""OpenID Connect discovery (and RFC 8414): from an issuer's name to the addresses of its endpoints."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

from llm_mux.auth.base import Call, LoginError, OAuth, Reply, Steps
from llm_mux.auth.tokens import read

_FACTS = {
    "authorize_url": "authorization_endpoint",
    "token_url": "token_endpoint",
    "device_url": "device_authorization_endpoint",
    "revoke_url": "revocation_endpoint",
    "userinfo_url": "userinfo_endpoint",
    "jwks_url": "jwks_uri",
}


def discovered(oauth: OAuth, *, within: str = "") -> Steps[OAuth]:
    """`oauth` with the endpoints that its issuer publishes; what it names itself stays. Nothing is asked without an
    issuer.

    `within`: the domain that every endpoint must belong to. Raises `LoginError`.
    """
    if not oauth.issuer:
        return oauth
    metadata = yield from _metadata(oauth.issuer)
    said = metadata.get("issuer")
    if not isinstance(said, str) or said.rstrip("/") != oauth.issuer.rstrip("/"):
        raise LoginError(f"{oauth.issuer} publishes the addresses of another issuer; set issuer: to what it says")
    facts: dict[str, Any] = {"issuer": said}
    for fact, name in _FACTS.items():
        if name in metadata and not getattr(oauth, fact):
            facts[fact] = _address(metadata[name], name, within)
    if oauth.client_secret:
        facts["client_auth"] = _client_auth(metadata.get("token_endpoint_auth_methods_supported"))
    return replace(oauth, **facts)


def _metadata(issuer: str) -> Steps[Mapping[str, Any]]:
    from authlib.oidc.discovery import get_well_known_url

    problem = insecure(issuer)
    if problem:
        raise LoginError(f"issuer: {problem}")
    reply: Reply = yield Call(get_well_known_url(issuer, external=True), headers={"accept": "application/json"})
    if reply.status == 404:
        parts = urlsplit(issuer)
        url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
        reply = yield Call(url, headers={"accept": "application/json"})
    return read(reply, "the issuer's discovery document")


def _address(value: object, name: str, within: str) -> str:
    if not isinstance(value, str):
        raise LoginError(f"the issuer's discovery document has a {name} that is not text")
    problem = insecure(value)
    if problem:
        raise LoginError(f"the issuer's discovery document has a {name} that cannot be used: {problem}")
    host = urlsplit(value).hostname or ""
    if within and host != within and not host.endswith(f".{within}"):
        raise LoginError(f"the issuer's discovery document has a {name} outside {within}")
    return value


def _client_auth(methods: object) -> Literal["client_secret_post", "client_secret_basic"]:
    """Basic is what servers take that do not say (OpenID Connect Discovery, 3)."""
    known = methods if isinstance(methods, list) else ["client_secret_basic"]
    return "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"


def insecure(url: str) -> str:
    """What is wrong with an address that secrets are sent to; "" when nothing is. Plain http is for loopback alone."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or parts.scheme not in ("http", "https"):
        return f"{url} is not an https address"
    if parts.scheme == "http" and not _loopback(host):
        return f"{parts.scheme}://{host} would send secrets in the clear; https is needed"
    return ""


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
