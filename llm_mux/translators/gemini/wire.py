"""The Gemini wire format as Structs: contents, parts, and the shape that whole answers and stream records share.

Rule: wire strings are spelled here, as field names and tags, in the camelCase that servers emit. What is never looked
into stays `Raw`. Spec: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Raw, Struct, UnsetType

RawField = Raw | UnsetType


class Blob(Struct, frozen=True, omit_defaults=True):
    mimeType: str
    data: str
    displayName: str | None = None


class FileData(Struct, frozen=True, omit_defaults=True):
    fileUri: str
    mimeType: str | None = None
    displayName: str | None = None


class PartialArg(Struct, frozen=True, omit_defaults=True):
    """One piece of streamed arguments (Vertex): a JSON path and a value, a string of it when more follows."""

    jsonPath: str
    stringValue: str | None = None
    numberValue: RawField = UNSET
    boolValue: bool | None = None
    nullValue: RawField = UNSET
    willContinue: bool | None = None


class FunctionCall(Struct, frozen=True, omit_defaults=True):
    id: str | None = None
    name: str | None = None
    args: RawField = UNSET
    partialArgs: list[PartialArg] | None = None
    willContinue: bool | None = None


class ResultPart(Struct, frozen=True, omit_defaults=True):
    """A medium in a function's result, with what may stand beside one (see `METADATA`)."""

    inlineData: Blob | None = None
    fileData: FileData | None = None
    videoMetadata: RawField = UNSET
    mediaResolution: RawField = UNSET
    partMetadata: RawField = UNSET
    mediaProcessing: RawField = UNSET
    documentMetadata: RawField = UNSET
    spreadsheetMetadata: RawField = UNSET
    audioMetadata: RawField = UNSET
    speechMetadata: RawField = UNSET


class FunctionResponse(Struct, frozen=True, omit_defaults=True):
    id: str | None = None
    name: str | None = None
    response: RawField = UNSET
    parts: list[ResultPart] | None = None
    willContinue: RawField = UNSET
    scheduling: RawField = UNSET


class FunctionResponseOut(Struct, frozen=True, omit_defaults=True):
    """A result on its way out; a part may be JSON text already."""

    id: str | None = None
    name: str | None = None
    response: RawField = UNSET
    parts: Sequence[ResultPart | Raw] | None = None
    willContinue: RawField = UNSET
    scheduling: RawField = UNSET


class ExecutableCode(Struct, frozen=True):
    code: str = ""
    language: str = "PYTHON"


class CodeExecutionResult(Struct, frozen=True):
    outcome: str = ""
    output: str = ""


class Part(Struct, frozen=True, omit_defaults=True):
    """Exactly one kind of data, plus any of the fields from `thoughtSignature` on."""

    text: str | None = None
    thought: bool | None = None
    inlineData: Blob | None = None
    fileData: FileData | None = None
    functionCall: FunctionCall | None = None
    functionResponse: FunctionResponse | None = None
    executableCode: RawField = UNSET
    codeExecutionResult: RawField = UNSET
    toolCall: RawField = UNSET
    toolResponse: RawField = UNSET
    audioTranscription: RawField = UNSET
    thoughtSignature: str | None = None
    videoMetadata: RawField = UNSET
    mediaResolution: RawField = UNSET
    partMetadata: RawField = UNSET
    mediaProcessing: RawField = UNSET
    documentMetadata: RawField = UNSET
    spreadsheetMetadata: RawField = UNSET
    audioMetadata: RawField = UNSET
    speechMetadata: RawField = UNSET


SERVER_KINDS = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse", "audioTranscription")
"""Kinds of part that only Gemini itself makes and understands."""

METADATA = (
    "videoMetadata",
    "mediaResolution",
    "partMetadata",
    "mediaProcessing",
    "documentMetadata",
    "spreadsheetMetadata",
    "audioMetadata",
    "speechMetadata",
)
"""What may stand beside the data of a part, apart from its signature."""


class Content(Struct, frozen=True, omit_defaults=True):
    role: str | None = None
    parts: list[Part] | None = None


class ResultOut(Struct, frozen=True):
    """A part that holds a result, on its way out."""

    functionResponse: FunctionResponseOut


class ClientResultPart(ResultPart, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class ClientFunctionResponse(FunctionResponse, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    parts: list[ClientResultPart] | None = None  # type: ignore[assignment]  # narrower, and never assigned


class ClientPart(Part, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part in the official spelling with known fields only; any other goes the tolerant way."""

    functionResponse: ClientFunctionResponse | None = None


class ClientContent(Struct, frozen=True, forbid_unknown_fields=True):
    role: str | None = None
    parts: list[ClientPart] | None = None


class Turn(Struct, frozen=True, omit_defaults=True):
    """A Content on its way out; a part may be JSON text already."""

    parts: Sequence[Part | ResultOut | Raw]
    role: str | None = None


class UsageMetadata(Struct, frozen=True, omit_defaults=True):
    promptTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    toolUsePromptTokenCount: int | None = None
    totalTokenCount: int | None = None


class Candidate(Struct, frozen=True, omit_defaults=True):
    content: Content | None = None
    finishReason: str | None = None
    index: int | None = None
    finishMessage: str | None = None
    tokenCount: RawField = UNSET
    safetyRatings: RawField = UNSET
    citationMetadata: RawField = UNSET
    groundingMetadata: RawField = UNSET
    urlContextMetadata: RawField = UNSET
    avgLogprobs: RawField = UNSET
    logprobsResult: RawField = UNSET
    continuationToken: RawField = UNSET


FINISH_FIELDS = (
    "safetyRatings",
    "citationMetadata",
    "groundingMetadata",
    "urlContextMetadata",
    "avgLogprobs",
    "continuationToken",
)
"""What a candidate says beside its content and finish, kept for clients of the same format."""


class PromptFeedback(Struct, frozen=True, omit_defaults=True):
    blockReason: str | None = None
    blockReasonMessage: str | None = None
    safetyRatings: RawField = UNSET


class Answer(Struct, frozen=True, omit_defaults=True):
    """A whole answer, and one record of a stream. `error` stands alone."""

    candidates: list[Candidate] | None = None
    promptFeedback: PromptFeedback | None = None
    usageMetadata: UsageMetadata | None = None
    modelVersion: str | None = None
    responseId: str | None = None
    createTime: RawField = UNSET
    modelStatus: RawField = UNSET
    error: RawField = UNSET


class PlainPart(Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    thought: bool | None = None


class PlainContent(Struct, frozen=True, forbid_unknown_fields=True):
    parts: tuple[PlainPart]
    role: str | None = None


class PlainCandidate(Struct, frozen=True, forbid_unknown_fields=True):
    content: PlainContent
    index: int | None = None


class PlainAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """A record of a stream with one piece of text, and nothing beside it but counts and names."""

    candidates: tuple[PlainCandidate]
    usageMetadata: UsageMetadata | None = None
    modelVersion: str | None = None
    responseId: str | None = None
    createTime: RawField = UNSET


class CandidateOut(Struct, frozen=True, omit_defaults=True):
    """A candidate on its way to a client."""

    content: Turn | None = None
    finishReason: str | None = None
    index: int | None = None
    finishMessage: str | None = None
    safetyRatings: RawField = UNSET
    citationMetadata: RawField = UNSET
    groundingMetadata: RawField = UNSET
    urlContextMetadata: RawField = UNSET
    avgLogprobs: RawField = UNSET
    logprobsResult: RawField = UNSET
    continuationToken: RawField = UNSET


class AnswerOut(Struct, frozen=True, omit_defaults=True):
    """A whole answer or a stream record on its way to a client."""

    candidates: list[CandidateOut] | None = None
    promptFeedback: PromptFeedback | None = None
    usageMetadata: UsageMetadata | None = None
    modelVersion: str | None = None
    responseId: str | None = None


class Web(Struct, frozen=True, omit_defaults=True):
    uri: str | None = None
    title: str | None = None


class GroundingChunk(Struct, frozen=True, omit_defaults=True):
    web: Web | None = None
    retrievedContext: Web | None = None
    maps: Web | None = None


class Segment(Struct, frozen=True, omit_defaults=True):
    """Offsets in UTF-8 bytes of the candidate's text."""

    partIndex: int | None = None
    startIndex: int | None = None
    endIndex: int | None = None
    text: str | None = None


class GroundingSupport(Struct, frozen=True, omit_defaults=True):
    segment: Segment | None = None
    groundingChunkIndices: list[int] | None = None


class Grounding(Struct, frozen=True, omit_defaults=True):
    groundingChunks: list[GroundingChunk] | None = None
    groundingSupports: list[GroundingSupport] | None = None
    webSearchQueries: list[str] | None = None


class CitedSource(Struct, frozen=True, omit_defaults=True):
    startIndex: int | None = None
    endIndex: int | None = None
    uri: str | None = None
    title: str | None = None


class CitationMetadata(Struct, frozen=True, omit_defaults=True):
    citations: list[CitedSource] | None = None
    citationSources: list[CitedSource] | None = None


class TokenCandidate(Struct, frozen=True, omit_defaults=True):
    token: str | None = None
    logProbability: float | None = None


class TopCandidates(Struct, frozen=True, omit_defaults=True):
    candidates: list[TokenCandidate] | None = None


class LogprobsResult(Struct, frozen=True, omit_defaults=True):
    chosenCandidates: list[TokenCandidate] | None = None
    topCandidates: list[TopCandidates] | None = None
