"""The end of tasks that would go on for good."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_S: Final = 1.0
_TRIES: Final = 5


async def stopped(*tasks: asyncio.Task[Any]) -> None:
    """Ends tasks and waits for it, with an end. They are told more than once: a library that waits with a timeout of
    its own may take a cancellation that comes at the same moment for that, and its caller goes on."""
    left = set(tasks)
    for _ in range(_TRIES):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=_AGAIN_S)
    await asyncio.gather(*(set(tasks) - left), return_exceptions=True)
