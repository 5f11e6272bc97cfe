"""Sources of an answer, both ways. Gemini's offsets count UTF-8 bytes, ours characters.

Spec: https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw

from llm_mux import ir
from llm_mux.translators.gemini import wire
from llm_mux.wire import jsonx


def cited(candidate: wire.Candidate, text: str) -> list[ir.Citation]:
    """The citations of a candidate whose visible text is `text`."""
    found: list[ir.Citation] = []
    if isinstance(candidate.groundingMetadata, Raw):
        found.extend(_grounded(_grounding(candidate.groundingMetadata), text))
    if isinstance(candidate.citationMetadata, Raw):
        metadata = jsonx.decode(bytes(candidate.citationMetadata), wire.CitationMetadata)
        for source in [*(metadata.citations or ()), *(metadata.citationSources or ())]:
            segment = wire.Segment(startIndex=source.startIndex, endIndex=source.endIndex)
            found.append(_citation(source.uri, source.title, segment, text))
    return found


def searches(candidate: wire.Candidate) -> int:
    """How many web searches the answer took."""
    if not isinstance(candidate.groundingMetadata, Raw):
        return 0
    return len(_grounding(candidate.groundingMetadata).webSearchQueries or ())


def _grounding(value: Raw) -> wire.Grounding:
    return jsonx.decode(bytes(value), wire.Grounding)


def _grounded(grounding: wire.Grounding, text: str) -> Iterator[ir.Citation]:
    webs = [
        chunk.web or chunk.retrievedContext or chunk.maps or wire.Web() for chunk in grounding.groundingChunks or ()
    ]
    if not grounding.groundingSupports:
        yield from (ir.Citation(url=web.uri, title=web.title) for web in webs)
        return
    for support in grounding.groundingSupports:
        for index in support.groundingChunkIndices or ():
            if 0 <= index < len(webs):
                yield _citation(webs[index].uri, webs[index].title, support.segment, text)


def _citation(url: str | None, title: str | None, segment: wire.Segment | None, text: str) -> ir.Citation:
    if segment is None or segment.endIndex is None:
        return ir.Citation(url=url, title=title)
    body = text.encode("utf-8", "replace")
    start = len(body[: max(0, segment.startIndex or 0)].decode("utf-8", "ignore"))
    end = len(body[: max(0, segment.endIndex)].decode("utf-8", "ignore"))
    return ir.Citation(url=url, title=title, start=start, end=max(start, end))


def within(
    found: Sequence[ir.Citation], start: int, length: int, *, first: bool, last: bool
) -> tuple[ir.Citation, ...]:
    """The citations that begin in the text part at `start`, counted from its beginning; the `first` part takes those
    of the whole answer, the `last` one those that begin where no text is."""
    mine: list[ir.Citation] = []
    for one in found:
        if one.start is None or one.end is None:
            mine.extend([one] if first else [])
        elif start <= one.start and (last or one.start < start + length):
            begin, end = min(one.start - start, length), min(one.end - start, length)
            mine.append(msgspec.structs.replace(one, start=begin, end=end))
    return tuple(mine)


def moved(citation: ir.Citation, before: int, until: int | None) -> ir.Citation:
    """The citation counted from the beginning of a text that goes from `before` to `until`."""
    if citation.start is None or citation.end is None:
        return citation
    end = citation.end if until is None else min(citation.end, until)
    return msgspec.structs.replace(citation, start=citation.start - before, end=end - before)


class Sources:
    """Citations of a candidate on their way to a client; its texts are known by their index."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._cited: list[tuple[int, ir.Citation]] = []

    def say(self, index: int, text: str) -> None:
        self._texts.setdefault(index, []).append(text)

    def cite(self, index: int, citation: ir.Citation) -> None:
        self._cited.append((index, citation))

    def _places(self) -> list[tuple[ir.Citation, int, int]]:
        """Every page with its place, counted in bytes over all that was said."""
        begins: dict[int, tuple[int, str]] = {}
        before = 0
        for index, pieces in sorted(self._texts.items()):
            text = "".join(pieces)
            begins[index] = before, text
            before += _size(text)
        placed = []
        for index, citation in self._cited:
            begin, text = begins.get(index, (before, ""))
            start, end = citation.start or 0, len(text) if citation.end is None else citation.end
            placed.append((citation, begin + _size(text[:start]), begin + _size(text[:end])))
        return [place for place in placed if place[0].url]

    def grounding(self) -> wire.RawField:
        """`groundingMetadata` for everything cited, absent when nothing was."""
        places = self._places() if self._cited else []
        if not places:
            return UNSET
        webs = list(dict.fromkeys((page.url, page.title) for page, _, _ in places))
        made = wire.Grounding(
            groundingChunks=[wire.GroundingChunk(web=wire.Web(url, title)) for url, title in webs],
            groundingSupports=[
                wire.GroundingSupport(
                    segment=wire.Segment(startIndex=start, endIndex=end),
                    groundingChunkIndices=[webs.index((citation.url, citation.title))],
                )
                for citation, start, end in places
            ],
        )
        return Raw(jsonx.encode(made))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def of_parts(parts: Sequence[ir.Part]) -> wire.RawField:
    """`groundingMetadata` of a whole answer."""
    sources = Sources()
    for index, part in enumerate(parts):
        if isinstance(part, ir.Text):
            sources.say(index, part.text)
            for citation in part.citations:
                sources.cite(index, citation)
    return sources.grounding()
