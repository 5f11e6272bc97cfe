"""SDKs that call tools themselves: their own loop ends with the answer, whatever stands behind the daemon."""

from collections.abc import Mapping
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import types

from tests.clients.conversation import WEATHER, Ask, Driver, User
from tests.clients.crossing import DIRECT, JAVASCRIPT, alias
from tests.clients.javascript import JavaScript
from tests.upstreams.aimock import UPSTREAMS, Upstream

pytestmark = [pytest.mark.node, pytest.mark.skipif(DIRECT, reason="each SDK speaks one format only")]


@pytest.mark.parametrize("name", [name for name in JAVASCRIPT if "ai-sdk" in name])
def test_the_ai_sdk_calls_the_tool_and_asks_again(drivers: Mapping[str, Driver], name: str, upstream: Upstream) -> None:
    driver = drivers[name]
    assert isinstance(driver, JavaScript)
    found = driver.loop(alias(upstream), Ask((User("What is the weather in Paris?"),), tools=(WEATHER,)))
    assert found["cities"] == ["Paris", "Paris"]
    for text in found["texts"]:
        assert text.startswith("The tool said: ")
        assert "sunny" in text


QUESTION = "What is the weather in Paris?"


@pytest.fixture
def cities() -> list[str]:
    """What the tool was asked for."""
    return []


@pytest.fixture
def weather(cities: list[str]) -> Any:
    def weather(city: str, note: str = "") -> str:
        """Tells the weather of a city.

        Args:
            city: Its name.
            note: Anything.
        """
        cities.append(city)
        return "sunny"

    return weather


def test_google_genai_calls_the_function_and_asks_again(
    mux: str, upstream: Upstream, weather: Any, cities: list[str]
) -> None:
    with genai.Client(api_key="test", http_options=types.HttpOptions(base_url=mux, timeout=30_000)) as client:
        answer = client.models.generate_content(
            model=alias(upstream), contents=QUESTION, config=types.GenerateContentConfig(tools=[weather])
        )
    assert cities == ["Paris"]
    assert "sunny" in (answer.text or "")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "upstream",
    [upstream for upstream in UPSTREAMS if upstream.format != "anthropic"],
    indirect=True,
    ids=lambda upstream: f"to-{upstream.format}",
)
def test_anthropics_tool_runner_calls_the_function_and_asks_again(
    mux: str, upstream: Upstream, weather: Any, cities: list[str], stream: bool
) -> None:
    """It wants Anthropic to keep the turns (which the mock, as Anthropic, does not): nobody else can, and it is told so."""
    with anthropic.Anthropic(base_url=mux, api_key="test", max_retries=0, timeout=30) as client:
        runner: Any = client.beta.messages.tool_runner(
            model=alias(upstream),
            max_tokens=1000,
            tools=[anthropic.beta_tool(weather)],
            messages=[{"role": "user", "content": QUESTION}],
            stream=stream,
        )
        last = runner.until_done()
    assert cities == ["Paris"]
    assert "sunny" in "".join(block.text for block in last.content if block.type == "text")
