"""AWS credentials and signatures by botocore: its chain of environment, profiles, SSO, web identity and roles.

Rule: botocore (extra `[bedrock]`) gives credentials and signs; it never sends a model request. Credentials that have to
be asked for are asked for in a thread; everything after that is arithmetic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from llm_mux.errors import Kind, MuxError

if TYPE_CHECKING:
    from botocore.credentials import Credentials

_MANTLE: Final = "bedrock-mantle"
_UNSIGNED: Final = frozenset({"connection", "accept-encoding", "user-agent", "expect", "x-amzn-trace-id"})


class AwsSigner:
    """Signs requests of one profile and region. The credentials are found when the first request goes out."""

    def __init__(self, region: str, profile: str | None = None) -> None:
        self.region = region
        self.profile = profile
        self._credentials: Credentials | None = None

    def __repr__(self) -> str:
        return f"AwsSigner({self.region}, {self.profile or 'default'})"

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        """`headers` with the signature's. Raises MuxError LOGIN_NEEDED or NO_TARGET, in words for the user."""
        if not available():
            raise MuxError(Kind.NO_TARGET, _NOT_INSTALLED)
        if self._credentials is None or _expires(self._credentials):
            frozen = await asyncio.to_thread(self._frozen)
        else:
            frozen = self._credentials.get_frozen_credentials()
        return signed(method, url, headers, body, frozen, self.region)

    def _frozen(self) -> Any:
        from botocore.exceptions import BotoCoreError

        try:
            if self._credentials is None:
                self._credentials = self._found()
            return self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            whose = f"profile `{self.profile}`" if self.profile else "the default chain"
            message = f"AWS gave no credentials for {whose}: {error} {_ADVICE}"
            raise MuxError(Kind.LOGIN_NEEDED, message) from error

    def _found(self) -> Credentials:
        from botocore.session import Session

        found = Session(profile=self.profile).get_credentials()
        if found is None:
            message = (
                "No AWS credentials were found (environment, ~/.aws, SSO, web identity, container or instance role). "
                f"{_ADVICE}"
            )
            raise MuxError(Kind.LOGIN_NEEDED, message)
        return found


_ADVICE: Final = (
    "Run `aws sso login` or `aws configure`, name another `options.profile`, or give a Bedrock API key "
    "(`llm-mux login bedrock --api-key`)."
)


_NOT_INSTALLED: Final = (
    "Signing requests to AWS needs botocore: pip install 'llm-mux[bedrock]', or give a Bedrock API key "
    "(`llm-mux login bedrock --api-key`)."
)


def available() -> bool:
    """Whether requests can be signed at all."""
    return find_spec("botocore") is not None


def _expires(credentials: Credentials) -> bool:
    """Whether they are of a kind that renews itself, and due: that may ask a server."""
    needed = getattr(credentials, "refresh_needed", None)
    return bool(needed is not None and needed())


def signed(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, credentials: Any, region: str
) -> dict[str, str]:
    """`headers` with Signature Version 4. The host names the service; its path is encoded twice in it."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    kept = {name: value for name, value in headers.items() if name.lower() not in _UNSIGNED}
    request = AWSRequest(method=method, url=url, headers=kept, data=body or b"")
    SigV4Auth(credentials, service_of(url), region).add_auth(request)
    rest = {name: value for name, value in headers.items() if name.lower() in _UNSIGNED}
    return {**{name: str(value) for name, value in request.headers.items()}, **rest}


def service_of(url: str) -> str:
    """The service's name in the signature: the Mantle host has one of its own."""
    return _MANTLE if _MANTLE in url.partition("://")[2].partition("/")[0] else "bedrock"
