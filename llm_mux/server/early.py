"""What `llm-mux serve` does before it loads anything heavy, so that it listens soon and stays small.

Rule: nothing here changes what the daemon does. Whoever calls `begin` calls `settled` a while after the start.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def begin() -> None:
    """Nothing that is made while the daemon loads is garbage: the collector would look through all of it for nothing,
    again and again."""
    gc.disable()
    _load_aiohttp()


def settled() -> None:
    """What start-up made stays for good: the collector need not look at it again and again, nor come so often."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _load_aiohttp() -> None:
    """aiohttp reads the system's certificates when it is imported, twice, 20 ms and a megabyte each. It finds none
    here; `gateway/trust.py` reads them when a connection needs them."""
    before = {name: os.environ.get(name) for name in _CERTIFICATES}
    os.environ.update(dict.fromkeys(_CERTIFICATES, os.devnull))
    try:
        import_module("aiohttp")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
