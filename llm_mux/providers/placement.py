"""Where a provider is: its record moved to the address that the user gave, whatever they pasted.

Rule: an address is made good once, here, when the configuration is read; after that joining is plain concatenation.
Forgiven are a bare host, half of the usual path, a doubled version, a whole endpoint URL, and a vendor's second root
(`https://api.moonshot.cn/anthropic`), from which the other formats' roots follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from msgspec.structs import replace

from llm_mux.providers.base import VERSION, Endpoint, Provider


def placed(
    provider: Provider,
    *,
    base_url: str | None = None,
    translator: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Provider:
    """`provider` as the user placed it. `translator` is then the only one that generates.

    Raises ValueError, in words for the user, when it does not speak that format or has no address.
    """
    if translator is not None:
        provider = replace(provider, endpoints=_spoken(provider, translator))
    if base_url:
        provider = _moved(provider, base_url, translator)
    if provider.adjust is not None:
        provider = provider.adjust(provider, options or {})
    if not provider.base_url:
        raise ValueError("needs a base-url")
    return provider


def _spoken(provider: Provider, translator: str) -> tuple[Endpoint, ...]:
    kept = tuple(e for e in provider.endpoints if e.translator == translator or e.operation != "generate")
    if not any(e.operation == "generate" for e in kept):
        raise ValueError(f"does not speak {translator.replace('_', '-')}")
    return kept


def _moved(provider: Provider, base_url: str, translator: str | None) -> Provider:
    address, _, query = base_url.strip().partition("?")
    given = _completed(provider, address.rstrip("/"))
    main = given
    second = next((e.base_url for e in provider.endpoints if _ends(given, _path(e.base_url))), None)
    if second is not None:
        main = given.removesuffix(_path(second)) + _root(provider)
    endpoints = [(e, _base_of(e, provider, given, main, translator)) for e in provider.endpoints]
    kept = tuple(replace(e, base_url=at) for e, at in endpoints if at != "")
    more = dict(parse_qsl(query, keep_blank_values=True))
    return replace(provider, base_url=main, endpoints=kept, query={**provider.query, **more})


def _base_of(endpoint: Endpoint, provider: Provider, given: str, main: str, translator: str | None) -> str | None:
    """The endpoint's own root at the new place; None: the provider's, "": it is not there."""
    own, root = endpoint.base_url, _root(provider)
    if own is None:
        return None
    if _ends(given, _path(own)):
        return given
    if urlsplit(main).netloc == urlsplit(provider.base_url).netloc:
        return own
    if _ends(main, root):
        return main.removesuffix(root) + _path(own)
    return given if endpoint.translator == translator else ""


def _completed(provider: Provider, address: str) -> str:
    """`address` as a base URL of this provider: pasted endpoint paths cut off, a missing root put in."""
    address = _cut(provider, address)
    root, path = _root(provider), _path(address)
    if root and root.startswith(f"{path}/") and path != root:
        return address.removesuffix(path) + root
    first, _, last = address.rpartition("/")
    doubled = VERSION.fullmatch(last) and first.endswith(f"/{last}")
    return first if doubled else address


def _cut(provider: Provider, address: str) -> str:
    """Without what belongs to an endpoint's path: all of it, or its beginning where the base URL carries no path."""
    partly = not _root(provider)
    longest = 0
    have = _path(address).split("/")[1:]
    for endpoint in provider.endpoints:
        want = endpoint.path.split("/")[1:]
        for count in range(min(len(have), len(want)), 0, -1):
            if have[-count:] == want[:count] and (partly or count == len(want)):
                longest = max(longest, count)
                break
    return address.rsplit("/", longest)[0] if longest else address


def _root(provider: Provider) -> str:
    return provider.root or _path(provider.base_url)


def _path(url: str | None) -> str:
    return urlsplit(url).path.rstrip("/") if url else ""


def _ends(url: str, path: str) -> bool:
    return bool(path) and _path(url).endswith(path)


def host_swapped(url: str, old: str, new: str) -> str:
    """`url` with the end `old` of its host name replaced by `new`; unchanged when the host ends otherwise."""
    parts = urlsplit(url)
    if not parts.netloc.endswith(old):
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(old) + new))
