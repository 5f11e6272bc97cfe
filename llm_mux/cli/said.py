"""Text on its way to a terminal.

Rule: what came from a server or a user cannot move the cursor or change colours.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    return _CONTROL.sub("", text)
