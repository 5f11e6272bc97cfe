"""Prints docs/translation.md: what every translator keeps, says otherwise, drops, refuses and leaves to the daemon.

Nothing in it is written by hand: each cell is what the encoder did with a request that has just that feature, and what
became of the transcripts of the tests. Run as `python -m scripts.translation_table`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from llm_mux.errors import MuxError
from llm_mux.translators import registry
from tests.translators.outcomes import PEERS, Outcome, Peer, Verdict, outcome
from tests.translators.probe_table import probes
from tests.translators.probes import Probe
from tests.translators.transcripts import UPSTREAMS, Transcript, target, transcripts

TITLES = {
    "openai_chat": "OpenAI chat completions",
    "openai_responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
    "gemini": "Gemini generateContent",
    "ollama": "Ollama chat",
    "bedrock": "Bedrock Converse",
    "bedrock_invoke": "Bedrock InvokeModel",
}

INTRODUCTION = """\
# What a translation keeps

Written by `make docs` from the translators themselves; a test compares this page with them.

A request between a client and an upstream of the same format goes through as it came. Every other request is read into
the canonical form and written in the upstream's format. The tables say what becomes of each feature on that way:

| word | means |
|---|---|
| mapped | the upstream is told the same, in its own fields |
| reworded | the upstream has no such field; it is told as near as its format can say it |
| dropped | the upstream cannot be told; the answer's header `x-llm-mux-dropped` names what is missing, and with \
`strict: true` it is a 400 |
| refused | leaving it out would change what is asked; the client gets a 400 that says so |
| daemon | the daemon does it itself, the upstream is not told |
| left out | nothing is lost: a hint, another vendor's sealed reasoning, or what holds anyway |
| lost | left out without a report, although it is no hint: a fault that is known |

The columns are models and servers that stand for others like them; "same": as in the first. Requests are those of a
client of another format, where one has the feature.
"""

WORDS: dict[Verdict, str] = {
    "mapped": "mapped",
    "reworded": "reworded",
    "dropped": "dropped",
    "refused": "refused",
    "emulated": "daemon",
    "left out": "left out",
    "lost": "lost",
}


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_glance(), *_details(), *_crossings()]).rstrip() + "\n"


def _glance() -> Iterator[str]:
    """One word for each feature and format, for the first column of each format."""
    peers = [next(peer for peer in PEERS if peer.format == format_) for format_ in UPSTREAMS]
    yield "## At a glance\n"
    for section, group in _sections():
        yield f"### {section}\n"
        rows = ([probe.feature, *(WORDS[outcome(probe, peer).verdict] for peer in peers)] for probe in group)
        yield from _table(["feature", *(f"{TITLES[peer.format]} ({peer.title})" for peer in peers)], rows)


def _details() -> Iterator[str]:
    for format_ in UPSTREAMS:
        peers = [peer for peer in PEERS if peer.format == format_]
        yield f"## To {TITLES[format_]}\n"
        for section, group in _sections():
            yield f"### {section}: {TITLES[format_]}\n"
            yield from _table(["feature", *(peer.title for peer in peers)], _rows(group, peers))


def _rows(group: Sequence[Probe], peers: Sequence[Peer]) -> Iterator[list[str]]:
    """What was written for the first target, and for the others where it differs."""
    for probe in group:
        cells = [_cell(outcome(probe, peer)) for peer in peers]
        yield [probe.feature, cells[0], *("same" if _alike(cells[0], cell, peers) else cell for cell in cells[1:])]


def _alike(first: str, other: str, peers: Sequence[Peer]) -> bool:
    """Whether two cells say the same, the names of the targets aside."""
    names = [peer.target.model for peer in peers]
    return _nameless(first, names) == _nameless(other, names)


def _nameless(cell: str, names: Sequence[str]) -> str:
    for name in names:
        cell = cell.replace(name, "")
    return cell


def _cell(found: Outcome) -> str:
    return f"{WORDS[found.verdict]}: {found.detail}" if found.detail else WORDS[found.verdict]


def _sections() -> list[tuple[str, list[Probe]]]:
    return [(section, list(group)) for section, group in groupby(probes(), key=lambda probe: probe.section)]


def _crossings() -> Iterator[str]:
    """What becomes of the requests that the tests hold, from every format to every format."""
    yield "## The transcripts of the tests\n"
    for format_, group in groupby(transcripts("request"), key=lambda transcript: transcript.format):
        yield f"### From {TITLES[format_]}\n"
        rows = ([f"`{t.case}`", *(_crossing(t, name) for name in UPSTREAMS)] for t in group)
        yield from _table(["request", *(TITLES[name] for name in UPSTREAMS)], rows)


def _crossing(transcript: Transcript, format_: str) -> str:
    try:
        made = registry.get(format_).encode_request(transcript.request(), target(format_))
    except MuxError as error:
        if "by_url" in error.facts:
            return _cell(Outcome("emulated", "the daemon downloads what is named by URL"))
        return _cell(Outcome("refused", error.message.partition(": it has no form for it")[0]))
    notes = [f"without `{name}`" for name in made.dropped]
    notes += ["the daemon cuts at stop strings"] if made.stops else []
    return ", ".join(notes) or "whole"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(heads)
    yield "|" + "---|" * len(heads)
    yield from map(_row, rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(page())
