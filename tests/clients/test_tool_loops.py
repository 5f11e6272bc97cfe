"""SDKs that call tools themselves: their own loop ends with the answer, whatever stands behind the daemon."""

from collections.abc import Mapping

import pytest

from tests.clients.conversation import WEATHER, Ask, Driver, User
from tests.clients.crossing import DIRECT, JAVASCRIPT, alias
from tests.clients.javascript import JavaScript
from tests.upstreams.aimock import Upstream

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="each SDK speaks one format only")]


@pytest.mark.parametrize("name", [name for name in JAVASCRIPT if "ai-sdk" in name])
def test_the_ai_sdk_calls_the_tool_and_asks_again(
    node_clients: Mapping[str, Driver], name: str, upstream: Upstream
) -> None:
    driver = node_clients[name]
    assert isinstance(driver, JavaScript)
    found = driver.loop(alias(upstream), Ask((User("What is the weather in Paris?"),), tools=(WEATHER,)))
    assert found["cities"] == ["Paris", "Paris"]
    for text in found["texts"]:
        assert text.startswith("The tool said: ")
        assert "sunny" in text
