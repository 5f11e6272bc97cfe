"""Playground: any model through any protocol, what was sent and what came, streaming and whole."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.dashboard.conftest import Seen

SENT = {
    "OpenAI Chat": "POST /v1/chat/completions",
    "OpenAI Responses": "POST /v1/responses",
    "Anthropic Messages": "POST /v1/messages",
    "Gemini": "POST /v1beta/models/demo-thinking:",
    "Ollama": "POST /api/chat",
}
RAW = {
    "OpenAI Chat": ("chat.completion.chunk", '"object": "chat.completion"'),
    "OpenAI Responses": ("event: response.completed", '"object": "response"'),
    "Anthropic Messages": ("event: message_stop", '"type": "message"'),
    "Gemini": ("usageMetadata", "usageMetadata"),
    "Ollama": ('"done":true', '"done": true'),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_every_protocol_asks_the_same_model_and_shows_what_went_over_the_wire(visit: Seen, stream: bool) -> None:
    async with visit("playground?model=demo-thinking") as seen:
        page = seen.page
        await page.get_by_text("System prompt and options").click()
        await page.get_by_label("Stream the answer").set_checked(stream)
        for number, (title, path) in enumerate(SENT.items()):
            await page.get_by_text(title, exact=True).click()
            await expect(page.get_by_label("The request", exact=True)).to_contain_text(path)
            await page.get_by_role("textbox", name="Message").fill(f"hello {number}")
            await page.keyboard.press("Enter")
            answer = page.locator(".turn.assistant").nth(number)
            await expect(answer).to_contain_text(f"You said: hello {number}")
            await expect(seen.button("Send")).to_be_enabled()
            await expect(page.get_by_label("The response as it comes")).to_contain_text(RAW[title][0 if stream else 1])
            await expect(page.locator(".play .tags")).to_contain_text("200")
            await expect(page.locator(".play .tags")).to_contain_text("out")
            await expect(page.locator(".headers")).to_contain_text("x-llm-mux-provider: demo")
        await expect(page.locator(".turn.assistant .thought").first).to_contain_text("The user wrote")


async def test_an_answer_is_stopped_and_the_question_may_be_asked_again(visit: Seen) -> None:
    async with visit("playground?model=demo-slow") as seen:
        box = seen.page.get_by_role("textbox", name="Message")
        await box.fill("one two three four five six seven eight nine ten eleven twelve")
        await seen.page.keyboard.press("Enter")
        await expect(seen.page.get_by_label("The response as it comes")).to_contain_text("chat.completion.chunk")
        await seen.button("Stop").click()
        await seen.says("You stopped it.").to_be_visible()
        await expect(box).to_have_value("one two three four five six seven eight nine ten eleven twelve")
        await expect(seen.button("Send")).to_be_enabled()


@pytest.mark.parametrize(
    ("model", "status", "words"), [("demo-429", 429, "out of breath"), ("no-such-model", 404, "no-such-model")]
)
async def test_what_goes_wrong_is_said_in_the_daemons_own_words(
    visit: Seen, model: str, status: int, words: str
) -> None:
    async with visit("playground", {"request-retry": 0}) as seen:
        seen.refused = {status}
        await seen.page.get_by_label("Model").fill(model)
        await seen.page.get_by_role("textbox", name="Message").fill("hello")
        await seen.button("Send").click()
        await expect(seen.page.locator(".play .note.bad")).to_contain_text(words)
        await expect(seen.page.locator(".play .tags")).to_contain_text(str(status))


async def test_the_conversation_goes_along_and_outlasts_a_look_at_another_page(visit: Seen) -> None:
    async with visit("playground?model=demo") as seen:
        for text in ("first", "second"):
            await seen.page.get_by_role("textbox", name="Message").fill(text)
            await seen.button("Send").click()
            await seen.says(f"You said: {text}").to_be_visible()
            await expect(seen.button("Send")).to_be_enabled()
        await expect(seen.page.get_by_label("The request", exact=True)).to_contain_text("You said: first")
        await seen.page.locator("[data-nav=logs]").click()
        await seen.page.locator("[data-nav=playground]").click()
        await seen.says("You said: second").to_be_visible()
        await seen.button("New conversation").click()
        await expect(seen.page.locator(".turn")).to_have_count(0)


async def test_markup_in_an_answer_stays_text(visit: Seen) -> None:
    async with visit("playground?model=demo") as seen:
        evil = "<img src=x onerror=window.hit=1><script>window.hit=2</script>"
        await seen.page.get_by_role("textbox", name="Message").fill(evil)
        await seen.button("Send").click()
        await expect(seen.page.locator(".turn.assistant .said")).to_have_text(f"You said: {evil}")
        assert await seen.page.evaluate(
            "[window.hit ?? 0, document.querySelectorAll('main img, main script').length]"
        ) == [0, 0]


async def test_the_same_request_for_a_terminal(visit: Seen) -> None:
    async with visit("playground?model=demo", looks={"permissions": ["clipboard-read", "clipboard-write"]}) as seen:
        await seen.page.get_by_text("Anthropic Messages").click()
        await seen.page.get_by_role("textbox", name="Message").fill("it's me")
        await seen.button("Copy as curl").click()
        await expect(seen.button("Copied")).to_be_visible()
        copied = await seen.page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(f"curl '{seen.mux.url}/v1/messages'")
        assert "anthropic-version: 2023-06-01" in copied
        assert "it'\\''s me" in copied
        assert seen.mux.key not in copied
