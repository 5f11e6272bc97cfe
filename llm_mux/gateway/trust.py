"""Which certificates of servers are believed: those of the system, or of SSL_CERT_FILE and SSL_CERT_DIR.

Rule: whoever opens a TLS connection makes its settings here and keeps them. aiohttp's own know no certificate in the
daemon (`server/early.py`).
"""

from __future__ import annotations

import ssl


def trusting() -> ssl.SSLContext:
    """Settings for connections to servers. Reads files for 20 ms, and holds a megabyte."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
