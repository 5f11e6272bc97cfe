"""Every row of the translation matrix, under an id of ours, with what the matrix decides for each upstream.

Columns of `REQUESTS`: chat, Responses, Messages, Gemini, Ollama, Converse. A letter is a verdict of `outcomes`: `m`apped,
`r`eworded, `d`ropped, refused (`x`), done by the da`e`mon, left `o`ut. What belongs to answers is in `ANSWERS`, by the
tests that hold it, or tried cell by cell in `test_matrix`.
"""

from __future__ import annotations

from dataclasses import dataclass

NEWEST = ("gpt-5.6", "gpt-5.6", "claude-opus-5-5", "gemini-3-flash", "qwen3", "claude-opus-5")
OLDER = ("gpt-4.1", "gpt-4.1", "claude-sonnet-4-5", "gemini-2.5-flash", "qwen3", "claude-sonnet-4-5")


@dataclass(frozen=True, slots=True)
class Row:
    """A row that a request can ask: features of the probe table, each with its verdicts, for these models."""

    id: str
    features: dict[str, str]
    models: tuple[str, ...] = NEWEST


REQUESTS = (
    Row("roles: system", {"system text at the beginning": "mmmmmm", "several system messages": "mmmmmm"}),
    Row("roles: system, later", {"system message after the conversation began": "mmmrmm"}),
    Row("roles: developer", {"role `developer`": "mmmmmm"}),
    Row("roles: one role twice in a row", {"two user turns in a row": "mmmmmm"}),
    Row("roles: first message", {"first turn is the assistant's": "mmrrmr"}),
    Row("roles: last message is the assistant's", {"last turn is the assistant's (prefill)": "mmddmd"}),
    Row(
        "roles: last message is the assistant's, older models",
        {"last turn is the assistant's (prefill)": "mmmdmm"},
        OLDER,
    ),
    Row("parts: image inline", {"image, inline": "mmmmmm"}),
    Row("parts: image by URL", {"image, URL": "mmmmee"}),
    Row("parts: image by URL, older models", {"image, URL": "mmmeee"}, OLDER),
    Row("parts: image by another vendor's file id", {"image, another vendor's file id": "xxxxxx"}),
    Row("parts: detail", {"detail of an image": "mmdrdd"}),
    Row("parts: PDF inline", {"PDF, inline": "mmmmxm"}),
    Row("parts: PDF by URL", {"PDF, URL": "emmmxe"}),
    Row("parts: text document", {"text document": "rrmmrm"}),
    Row("parts: audio in", {"audio, inline": "mxxmmm"}),
    Row("parts: video", {"video, inline": "xxxmxm"}),
    Row("parts: old images of the assistant", {"image in the assistant's history": "rrrmrr"}),
    Row("parts: audio out", {"audio in the answer": "dxxmxx"}),
    Row("tools: definition", {"function tool": "mmmmmm"}),
    Row("tools: no parameters", {"function tool without parameters": "mmmmmm"}),
    Row("tools: strict", {"`strict` of a function": "mmmrdm"}),
    Row("tools: names", {"name with characters that not all take": "mmmmmm"}),
    Row("tools: namespaces", {"tool in a namespace": "rmrrrr"}),
    Row("tools: choice auto", {"tool choice: auto": "mmmmom"}),
    Row("tools: must call, a model that cannot be forced", {"tool choice: must call": "mmdmdm"}),
    Row("tools: must call", {"tool choice: must call": "mmmmdm"}, OLDER),
    Row("tools: named", {"tool choice: one named tool": "mmmmdm"}, OLDER),
    Row("tools: none", {"tool choice: none": "mmmmrr"}),
    Row("tools: subset", {"tool choice: auto among some": "mmrmrr"}),
    Row("tools: at most one call", {"at most one call": "mmmddm"}),
    Row("tools: call, result", {"call and result": "mmmmmm", "empty result": "mmmmmr"}),
    Row("tools: arguments", {"arguments that are no JSON": "rrrrrr"}),
    Row("tools: results grouped", {"call without a result": "mmmmmm", "result without a call": "rrrrrr"}),
    Row("tools: images in results", {"image in a result": "rmmmrm"}),
    Row("tools: result is an error", {"result marked as an error": "rrmmrm"}),
    Row("tools: free text", {"free-text (custom) tool": "mmrrrr", "call of a free-text tool in the history": "mmmmmm"}),
    Row("tools: calls without tools", {"calls in the history, no tools declared": "mmmmmm"}),
    Row("thinking: off", {"off": "mmdrmm", "budget of 0 tokens": "mmdrmm"}),
    Row("thinking: minimal", {"effort `minimal`": "rrrmrr"}),
    Row(
        "thinking: low, medium, high",
        {"effort `low`": "mmmmmm", "effort `medium`": "mmmmmm", "effort `high`": "mmmmmm"},
    ),
    Row("thinking: xhigh, max", {"effort `xhigh`": "mmmrrm", "effort `max`": "mmmrmm"}),
    Row("thinking: budgets where there are budgets", {"budget of 10000 tokens": "ddmmrm"}, OLDER),
    Row("thinking: budgets where there are efforts", {"budget of 10000 tokens": "rrrrrr"}),
    Row("thinking: shown", {"reasoning shall be shown": "ooomoo", "reasoning shall not be shown": "ormmor"}),
    Row("seals: none", {"reasoning without a seal": "oooooo"}),
    Row("seals: Responses", {"reasoning sealed by openai_responses": "omoooo"}),
    Row("seals: Messages", {"reasoning sealed by anthropic": "oomoom"}),
    Row("seals: Gemini", {"reasoning sealed by gemini": "ooomoo", "call signed by gemini": "ooomoo"}),
    Row("output: any JSON", {"any JSON": "mmrmmr"}),
    Row("output: schema", {"JSON by a schema": "mmmmmm"}),
    Row("output: schema with tools", {"schema beside tools": "mmmmmm"}),
    Row("output: schema with tools, older models", {"schema beside tools": "mmmrmm"}, OLDER),
    Row("sampling: max output", {"limit of tokens": "mmmmmm"}),
    Row("sampling: models that reason", {"`temperature`": "dddmmd", "`top_p`": "dddmmd", "`top_k`": "dddmmd"}),
    Row("sampling: temperature", {"`temperature`": "mmmmmm", "`temperature` above 1": "mmrmmr"}, OLDER),
    Row("sampling: top_p", {"`top_p`": "mmmmmm"}, OLDER),
    Row("sampling: top_k", {"`top_k`": "ddmmmm"}, OLDER),
    Row("sampling: min_p, repetition penalty", {"`min_p`": "ddddmd", "`repetition_penalty`": "ddddmd"}, OLDER),
    Row("sampling: penalties", {"`presence_penalty`": "mddmmd", "`frequency_penalty`": "mddmmd"}, OLDER),
    Row("sampling: seed", {"`seed`": "mddmmd"}, OLDER),
    Row("sampling: stop", {"4 stop strings": "memmmm", "6 stop strings": "eememm"}, OLDER),
    Row("sampling: stop of white space", {"stop string of white space": "meemme"}, OLDER),
    Row("sampling: n", {"`n`": "mxxmxx"}),
    Row("sampling: log probabilities", {"`logprobs`": "mmxmmx", "`top_logprobs`": "mmxmmx"}, OLDER),
    Row("sampling: logit_bias", {"`logit_bias`": "mddddd"}, OLDER),
    Row("caching: explicit marks", {"mark on system text": "mmmoom", "mark on a tool": "rrmoom"}),
    Row("caching: marks where there are none", {"mark on system text": "rrmoom"}, OLDER),
    Row("caching: automatic", {"mark on the whole request": "rrmooo"}),
    Row("caching: hint key", {"cache key": "mmoooo"}),
    Row("vendor's tools: web search", {"web search run by the vendor, alone": "xmmmxx"}),
    Row("vendor's tools: others", {"another tool run by the vendor": "xxxxxx"}),
    Row(
        "vendor's tools: in the history",
        {"unknown block with a stand-in text": "rrrrrr", "unknown block without one": "xxxxxx"},
    ),
    Row("identity: end user", {"end user": "mmmddr"}),
    Row("identity: metadata", {"metadata": "mmdddm"}),
    Row("identity: service tier", {"service tier `default`": "mmmmdm", "service tier `priority`": "mmdmdm"}),
    Row("identity: verbosity", {"verbosity": "mmdddd"}),
    Row("identity: store", {"`store` (a field of the client's format)": "dmdddd"}),
)

ANSWERS: dict[str, tuple[str, ...]] = {
    "seals: envelope in every client": ("test_a_seal_of_any_vendor_survives_a_turn_through_a_client",),
    "seals: Responses client": ("test_foreign_seals_travel_in_an_envelope",),
    "seals: Gemini client": ("test_natives_of_others_ride_as_base64_envelopes",),
    "seals: chat and Ollama clients, by the store": ("test_a_seal_of_a_call_is_for_the_next_call_of_the_same_turn",),
    "seals: never to another vendor": ("test_no_seal_reaches_another_vendor",),
    "seals: lost": ("test_manual_thinking_stops_in_a_tool_loop_whose_thoughts_are_lost",),
    "seals: items and their ids": ("test_only_reasoning_items_are_sent_with_ids",),
    "sampling: max output is required": ("test_max_tokens_is_always_there_and_within_the_models_limit",),
    "caching: number of marks": ("test_cache_points_follow_what_is_marked_and_only_four_are_left",),
    "caching: time to live": ("test_cache_marks_become_breakpoints_and_a_stable_key",),
    "usage: negative": ("test_negative_and_missing_counts_are_nothing",),
    "usage: missing": ("test_a_placeholder_of_zeros_is_no_usage",),
    "usage: asked for in streams": (
        "test_a_stream_is_always_asked_for_its_usage",
        "test_only_the_usage_record_is_hidden",
    ),
    "finish: calls decide": ("test_calls_decide_that_an_answer_ends_with_calls",),
    "finish: refusal": ("test_a_refusal_is_told_as_text_and_named_at_the_end",),
    "finish: blocked prompt": ("test_a_blocked_prompt_is_a_clean_filtered_end",),
    "finish: none at the end": ("test_a_stream_without_its_end_is_a_failure",),
    "finish: Codex": ("test_endings",),
    "citations: web": ("test_a_source_that_comes_after_its_text_ended_is_told", "test_citations_span_their_text"),
    "citations: bytes and characters": ("test_grounding_counts_bytes_and_citations_count_characters",),
    "citations: to Messages": ("test_another_vendors_citations_become_links_unless_the_text_has_them",),
    "citations: document": (
        "test_citation_sources_are_read_in_both_names",
        "test_own_citations_are_deltas_and_others_become_links",
    ),
    "log probabilities": ("test_logprobs_travel_with_their_tokens", "test_logprobs_are_streamed_beside_their_tokens"),
    "vendor's tools: what they answer": ("test_another_vendors_search_is_told_as_one_and_nobody_gets_it_back",),
    "parts: images out": ("test_images_of_an_answer_have_an_index", "test_images_and_audio_are_whole_parts"),
    "streams: every event of every client": ("test_the_same_stream_gives_the_same_bytes",),
    "streams: start to end": (
        "test_a_stream_is_start_blocks_delta_stop_each_with_its_event_line",
        "test_finish_and_usage_come_once_with_the_last_record",
        "test_a_stream_has_one_object_a_line_and_one_end",
    ),
    "streams: one block at a time": ("test_blocks_are_counted_as_they_are_written",),
    "streams: keep-alives": ("test_a_slow_start_becomes_keepalives_that_each_client_understands",),
    "streams: errors": ("test_a_stream_that_breaks_ends_with_the_protocols_error",),
    "streams: a client that leaves": ("test_a_vanished_client_closes_the_upstream_and_costs_no_account_anything",),
    "streams: whole for a stream, a stream for whole": ("test_a_whole_answer_streams_as_itself",),
    "streams: ids": ("test_an_answer_has_an_id_of_its_clients_kind_whole_and_streamed",),
    "errors: words of one's own vendor": ("test_a_servers_own_error_reaches_its_client_verbatim",),
    "errors: overflow": ("test_an_overflow_of_any_vendor_is_told_in_the_words_that_tools_know",),
    "errors: Codex": ("test_codex_is_told_in_a_stream_what_it_would_give_up_at_as_a_status",),
    "beside: count": ("test_a_provider_that_counts_is_asked_and_a_failure_costs_only_exactness",),
    "beside: models": ("test_each_sdk_gets_the_list_of_models_in_its_own_shape",),
    "beside: embeddings": ("test_embeddings_arrive_in_both_encodings", "test_geminis_own_embeddings_arrive"),
}
