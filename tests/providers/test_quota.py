"""Quota windows as the providers' answers tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.providers import quota, registry
from llm_mux.providers.quota import Window

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Case:
    """What a provider's answer says, and the windows that it means."""

    id: str
    provider: str
    windows: tuple[Window, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def unified(**values: str) -> dict[str, str]:
    return {f"anthropic-ratelimit-unified-{name.replace('__', '-')}": value for name, value in values.items()}


DAY = (
    b'{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure",'
    b'"violations":[{"quotaMetric":"m","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"50"}]},'
    b'{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"39s"}]}}'
)
CASES = [
    Case(
        "chat limits",
        "openai",
        (
            Window("requests", "model", 0.25, 45, 60, NOW + 1),
            Window("tokens", "model", 1.0, 0, 150000, NOW + 360),
        ),
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "45",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "6m0s",
        },
    ),
    Case("no headers", "openai", ()),
    Case("not a number", "openai", (), {"x-ratelimit-remaining-requests": "many"}),
    Case(
        "limit unknown",
        "groq",
        (Window("requests", "model", None, 3, None, None),),
        {"x-ratelimit-remaining-requests": "3"},
    ),
    Case(
        "days and minutes by name",
        "cerebras",
        (Window("requests-day", "model", 0.5, 50, 100, NOW + 33011.382867),),
        {
            "x-ratelimit-limit-requests-day": "100",
            "x-ratelimit-remaining-requests-day": "50",
            "x-ratelimit-reset-requests-day": "33011.382867",
        },
    ),
    Case(
        "a subscription's two windows are the account's, a family's is the model's",
        "anthropic",
        (
            Window("5h", "account", 0.42, resets_at=NOW + 3600),
            Window("7d", "account", 1.0, resets_at=NOW + 86400),
            Window("7d_opus", "model", 0.9, family="opus"),
        ),
        unified(
            status="rejected",
            **{
                "5h__utilization": "0.42",
                "5h__reset": str(int(NOW) + 3600),
                "5h__status": "allowed",
                "7d__utilization": "0.97",
                "7d__status": "rejected",
                "7d__reset": str(int(NOW) + 86400),
                "7d_opus__utilization": "0.9",
            },
            overage__status="rejected",
            representative__claim="seven_day",
        ),
    ),
    Case(
        "paid overage goes on",
        "anthropic",
        (Window("5h", "account", 1.03, soft=True),),
        unified(status="allowed", overage__status="allowed", **{"5h__utilization": "1.03"}),
    ),
    Case(
        "an API key's limits",
        "anthropic",
        (
            Window("requests", "model", 0.02, 49, 50, NOW + 60),
            Window("output-tokens", "model", 0.5, 4000, 8000, NOW),
        ),
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-29T12:01:00Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "4000",
            "anthropic-ratelimit-output-tokens-reset": "2026-11-29T12:00:00Z",
        },
    ),
    Case(
        "a day's quota ends at midnight in California whatever RetryInfo says",
        "gemini",
        (
            Window(
                "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
                "model",
                1.0,
                0.0,
                50,
                datetime(2026, 11, 30, 8, 0, tzinfo=UTC).timestamp(),
            ),
        ),
        body=DAY,
    ),
    Case(
        "a minute's quota ends when RetryInfo says, also out of a list",
        "vertex",
        (Window("RequestsPerMinute", "model", 1.0, 0.0, None, NOW + 39.5),),
        body=b'[{"error":{"details":[{"violations":[{"quotaId":"RequestsPerMinute"}]},{"retryDelay":"39.5s"}]}}]',
    ),
    Case("another error of Google's", "gemini", (), body=b'{"error":{"code":400,"message":"no"}}'),
    Case("a web page", "gemini", (), body=b"<html>quota</html>"),
    Case("an empty list", "gemini", (), body=b'["quota"]'),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_answer_tells_the_windows(case: Case) -> None:
    found = registry.get(case.provider).windows(case.headers, case.body, NOW)
    assert [rounded(window) for window in found] == [rounded(window) for window in case.windows]


def rounded(window: Window) -> tuple[object, ...]:
    values = (window.used, window.remaining, window.limit, window.resets_at)
    return (window.name, window.scope, window.soft, *(None if v is None else round(v, 3) for v in values))


CODEX = {
    "x-codex-primary-used-percent": "42.5",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": str(int(NOW) + 60),
    "x-codex-secondary-used-percent": "100",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-after-seconds": "3600",
}


@pytest.mark.parametrize(
    ("headers", "body", "windows"),
    [
        (
            CODEX,
            b"",
            [Window("5h", "account", 0.425, resets_at=NOW + 60), Window("7d", "account", 1.0, resets_at=NOW + 3600)],
        ),
        (
            {"x-codex-primary-used-percent": "100", "x-codex-credits-has-credits": "True"},
            b"",
            [Window("primary", "account", 1.0, soft=True)],
        ),
        # A window of no length is none: the plan has only the other.
        ({"x-codex-primary-used-percent": "0", "x-codex-primary-window-minutes": "0"}, b"", []),
        (
            {},
            b'{"error":{"type":"usage_limit_reached","resets_at":1800000000,"resets_in_seconds":5}}',
            [Window("usage limit", "account", 1.0, resets_at=1800000000)],
        ),
        (
            {},
            b'{"error":{"type":"usage_limit_reached","resets_in_seconds":5}}',
            [Window("usage limit", "account", 1.0, resets_at=NOW + 5)],
        ),
        ({}, b"usage_limit_reached", [Window("usage limit", "account", 1.0)]),
    ],
)
@pytest.mark.covers("OP-2")
def test_a_chatgpt_plan_has_windows_of_the_account(headers: dict[str, str], body: bytes, windows: list[Window]) -> None:
    assert list(quota.codex(headers, body, NOW)) == windows


@pytest.mark.parametrize(
    ("header", "value", "window"),
    [
        (
            "x-quota-snapshot-premium_interactions",
            "ent=300&ov=0.0&ovPerm=false&rem=50.0&rst=2026-12-01T00%3A00%3A00Z",
            Window("premium", "model", 0.5, 150, 300, datetime(2026, 12, 1, tzinfo=UTC).timestamp()),
        ),
        ("x-quota-snapshot-chat", "ent=200&rem=0&ovPerm=true", Window("chat", "model", 1.0, 0, 200, soft=True)),
        (
            "x-usage-ratelimit-session",
            "ent=50&rem=62.5&rst=2026-11-29T14:00:00Z",
            Window("session", "account", 0.375, 31.25, 50, NOW + 7200),
        ),
        ("x-quota-snapshot-premium_interactions", "ent=-1&rem=100", None),
        ("x-quota-snapshot-premium_interactions", "nonsense", None),
    ],
)
def test_copilots_snapshots_are_read(header: str, value: str, window: Window | None) -> None:
    assert quota.copilot({header: value}, b"", NOW) == (() if window is None else (window,))


@pytest.mark.parametrize(
    ("window", "spent"),
    [
        (Window("w", "account", used=1.0), True),
        (Window("w", "account", used=0.999), False),
        (Window("w", "account", remaining=0), True),
        (Window("w", "account", used=1.2, soft=True), False),
        (Window("w", "account"), False),
    ],
)
def test_a_window_is_spent_when_nothing_is_left_and_nothing_can_be_bought(window: Window, spent: bool) -> None:
    assert window.spent is spent


HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *CODEX,
            "x-codex-credits-has-credits",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-limit-requests",
            "x-ratelimit-reset-requests",
            "anthropic-ratelimit-unified-status",
            "anthropic-ratelimit-unified-5h-utilization",
            "anthropic-ratelimit-unified-5h-reset",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
            "x-quota-snapshot-chat",
        ]
    ),
    st.text("0123456789.-:smhTZst.text(max_size=12) | =", max_size=12)
    | st.floats().map(str)
    | st.sampled_from(["ent=1&rem=nan", "-1", "0", "2026-99-99T00:00:00Z"]),
)


@given(HEADERS, st.binary(max_size=60) | st.just(b'{"error":{"details":[{"violations":null,"quota":1}]}}'))
def test_no_answer_makes_a_reader_stumble(headers: dict[str, str], body: bytes) -> None:
    for read in (quota.openai, quota.anthropic, quota.codex, quota.copilot, quota.gemini):
        for window in read(headers, body, NOW):
            values = (window.used, window.remaining, window.limit, window.resets_at)
            assert all(value is None or math.isfinite(value) for value in values)
