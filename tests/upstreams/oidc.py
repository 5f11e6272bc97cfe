"""A certified OpenID provider, npm's oidc-provider, run by `oidc.mjs`, and a browser that signs in there by itself."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin

from tests.upstreams.aimock import node

SCRIPT = pathlib.Path(__file__).with_name("oidc.mjs")
BROWSER = f"{sys.executable} -m tests.upstreams.oidc %s"
"""For `$BROWSER`: signs in at the address by itself."""
DECLINING = f"{sys.executable} -m tests.upstreams.oidc --decline %s"

_FORM = re.compile(r"<form[^>]*action=\"([^\"]+)\"[^>]*>(.*?)</form>", re.DOTALL)
_INPUT = re.compile(r"<input[^>]*>")
_ATTRIBUTE = re.compile(r"([a-z]+)=\"([^\"]*)\"")
_ABORT = re.compile(r"href=\"([^\"]*/abort)\"")
_MOST_PAGES = 12


@dataclass(frozen=True, slots=True)
class Oidc:
    """A running provider. Clients: `llm-mux` (public) and `with-secret`."""

    url: str

    def seen(self, route: str = "token") -> list[dict[str, Any]]:
        """The requests of one endpoint so far: grant, client, status, error."""
        with urllib.request.urlopen(f"{self.url}/seen", timeout=10) as response:
            return [each for each in json.load(response) if each["route"] == route]

    def grants(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.seen() if each["grant"] == kind]

    def owner(self, token: str) -> str:
        """Whose access token it is, by the provider's own word; "" when it is nobody's."""
        request = urllib.request.Request(f"{self.url}/me", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return str(json.load(response)["sub"])
        except urllib.error.HTTPError:
            return ""


@contextlib.contextmanager
def oidc(node_tools: pathlib.Path, **ttl: int) -> Iterator[Oidc]:
    """Start the provider on a free port; `access` and `device` are lifetimes in seconds."""
    command = [node(node_tools), str(SCRIPT), str(node_tools / "node_modules"), json.dumps(ttl)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("oidc-provider did not start; its complaint is above")
        try:
            yield Oidc(json.loads(line)["url"])
        finally:
            process.stdin.close()
            process.wait(timeout=10)


class _Stops(urllib.request.HTTPRedirectHandler):
    """Goes no further than to where the login comes back."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if "/callback?" in newurl:
            raise _ReturnedError(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _ReturnedError(Exception):
    """The address that a browser would show at the end, where its last page does not load."""


def address_after(url: str, login: str = "ada") -> str:
    """Signs in at `url`; the address that the browser is sent back to, without going there."""
    try:
        sign_in(url, login, stop=True)
    except _ReturnedError as found:
        return str(found)
    raise RuntimeError("the login did not come back")


def sign_in(url: str, login: str = "ada", *, decline: bool = False, stop: bool = False) -> str:
    """Opens `url` and fills in every form until there is none; the text of the last page."""
    handlers = [urllib.request.HTTPCookieProcessor(CookieJar()), *([_Stops()] if stop else [])]
    opener = urllib.request.build_opener(*handlers)
    page = opener.open(url, timeout=20)
    for _ in range(_MOST_PAGES):
        at, text = page.geturl(), page.read().decode(errors="replace")
        abort, form = _ABORT.search(text), _FORM.search(text)
        if decline and abort is not None:
            page = opener.open(urljoin(at, abort[1]), timeout=20)
        elif form is not None:
            body = urlencode(_filled(form[2], login)).encode()
            page = opener.open(urllib.request.Request(urljoin(at, form[1]), body), timeout=20)
        else:
            return text
    raise RuntimeError(f"still a form after {_MOST_PAGES} pages: {at}")


def _filled(form: str, login: str) -> dict[str, str]:
    fields = [dict(_ATTRIBUTE.findall(each)) for each in _INPUT.findall(form)]
    values = {"login": login, "password": "not checked there"}
    return {each["name"]: each.get("value") or values.get(each["name"], "") for each in fields if "name" in each}


if __name__ == "__main__":
    sign_in(sys.argv[-1], decline="--decline" in sys.argv)
