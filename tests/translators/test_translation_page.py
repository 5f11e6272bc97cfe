"""docs/translation.md is what the translators do now, and nothing they do loses a feature in silence."""

from __future__ import annotations

import pathlib

import pytest

from scripts import translation_table
from tests.translators.outcomes import PEERS, Peer, outcome
from tests.translators.probe_table import probes
from tests.translators.transcripts import UPSTREAMS

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "translation.md"

# Features that a format's encoder leaves out without a report, although they are no hints: format and feature.
UNREPORTED: set[tuple[str, str]] = set()


def test_the_page_says_what_the_translators_do() -> None:
    assert PAGE.read_text(encoding="utf-8") == translation_table.page(), "run make docs"


def test_every_format_has_a_column() -> None:
    assert {peer.format for peer in PEERS} == set(UPSTREAMS)


def test_no_two_probes_have_one_name() -> None:
    names = [(probe.section, probe.feature) for probe in probes()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("format_", UPSTREAMS)
def test_nothing_is_lost_in_silence_but_what_is_listed(format_: str) -> None:
    peers = [peer for peer in PEERS if peer.format == format_]
    silent = {(format_, feature) for peer in peers for feature in _silent(peer)}
    assert silent == {entry for entry in UNREPORTED if entry[0] == format_}


def _silent(peer: Peer) -> list[str]:
    return [probe.feature for probe in probes() if outcome(probe, peer).verdict == "lost"]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.format}-{peer.title}")
def test_a_refusal_names_what_is_refused_and_by_whom(peer: Peer) -> None:
    refusals = [found for probe in probes() if (found := outcome(probe, peer)).verdict == "refused"]
    assert refusals
    assert all(found.detail.endswith(f"cannot be sent to {peer.target.title}") for found in refusals), refusals
