"""structlog as a daemon needs it: without rich, which it would load to draw tracebacks on a terminal (4 MB)."""

from __future__ import annotations

import sys

_LOADED = "rich" in sys.modules
if not _LOADED:
    # An entry of None makes the import fail, and structlog goes on without.
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    if not _LOADED:
        del sys.modules["rich"]

__all__ = ["structlog"]
