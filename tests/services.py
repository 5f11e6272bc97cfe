"""The servers that some tests need: the environment says where they are."""

import os
from typing import NoReturn

import pytest


def missing(message: str) -> NoReturn:
    """A server or a tool is not there: that fails where CI is true, and skips the test elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def named(variable: str, what: str) -> str:
    """The address that the environment names."""
    return os.environ.get(variable) or missing(f"{variable} names no {what} server")
