"""Internal errors to Sentry, where a DSN is configured: the traceback and the event's name, nothing of a request.

Rule: sentry-sdk (the extra `sentry`) is loaded in a thread and only with a DSN. No local variables, no breadcrumbs, no
personal data, and texts are redacted as those of the log are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from llm_mux import __version__, log

INSTALL = "install it with: pip install 'llm-mux[sentry]'"


class Sentry:
    """`become_soon` at every reading of the configuration; `report` is called for each logged exception."""

    def __init__(self) -> None:
        self._dsn: str | None = None
        self._wanted: tuple[str | None, str | None] = (None, None)
        self._turn = threading.Lock()
        self.becoming: asyncio.Future[None] | None = None
        self._client: Any = None
        self._event_from: Callable[..., Any] | None = None
        self.reported = 0
        self.error: str | None = None

    @property
    def enabled(self) -> bool:
        return self._dsn is not None

    @property
    def status(self) -> str:
        return "disabled" if not self.enabled else "healthy" if self.error is None else "unhealthy"

    def become_soon(self, dsn: str | None, environment: str) -> None:
        """Report there from some moment on, None: nowhere; nothing happens where nothing is another. `becoming` is done
        when it is so."""
        wanted = dsn, environment if dsn is not None else None
        if wanted != self._wanted:
            self._wanted = wanted
            self.becoming = asyncio.get_running_loop().run_in_executor(None, self._become)

    def _become(self) -> None:
        """What is wanted by now. Blocks while the library is loaded."""
        with self._turn:
            self._open(*self._wanted)

    def _open(self, dsn: str | None, environment: str | None) -> None:
        self.close()
        self._dsn, self.error = dsn, None
        if dsn is None:
            return
        try:
            self._client, self._event_from = _opened(dsn, environment)
        except ModuleNotFoundError:
            self.error = f"sentry-sdk is missing; {INSTALL}"
        except Exception as error:
            # What it says of a DSN that cannot be read may hold the DSN.
            self.error = f"sentry-dsn cannot be used ({type(error).__name__})"
        if self.error is not None:
            log.logger.warning("sentry.off", reason=self.error)

    def report(self, event: str, error: BaseException) -> None:
        """Hands an exception to the library, which sends it from its own thread."""
        if self._client is None or self._event_from is None:
            return
        found, hint = self._event_from(error, client_options=self._client.options)
        found["transaction"] = event
        self._client.capture_event(found, hint)
        self.reported += 1

    def close(self) -> None:
        """Send what waits, two seconds at most."""
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout=2.0)


def _opened(dsn: str, environment: str | None) -> tuple[Any, Callable[..., Any]]:
    from sentry_sdk import Client
    from sentry_sdk.utils import event_from_exception

    client = Client(
        dsn=dsn,
        environment=environment,
        release=f"llm-mux@{__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        server_name="",
        before_send=lambda event, hint: log.redact(event),
    )
    return client, event_from_exception
