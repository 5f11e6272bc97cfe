"""What four other gateways promise their clients, line by line, in our own words; the tests say which they hold.

A line's key begins with its document: 000 a gateway to Bedrock, 002 a proxy for Bedrock, 003 the Vandamme proxy, 004 an
LLM gateway with billing. `otherwise` says where the daemon knowingly does it in another way.
"""

from __future__ import annotations

from dataclasses import dataclass

TITLES = {
    "000": "A gateway to Bedrock",
    "002": "A proxy for Bedrock",
    "003": "The Vandamme proxy",
    "004": "An LLM gateway with accounts and billing",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One promise. `key` is `<document>-<name>`."""

    key: str
    promise: str
    otherwise: str = ""

    @property
    def document(self) -> str:
        return self.key.partition("-")[0]


LINES = (
    Line("000-no-auth", "works locally without a key"),
    Line("000-health", "`GET /health`: `status` and `aws` (`connected`)"),
    Line("000-models", "`GET /v1/models`: a list of `id`, `object`, `created`, `owned_by`"),
    Line("000-chat", "`POST /v1/chat/completions` with model, messages, temperature, max_tokens, stream: a completion"),
    Line("000-usage", "the completion's `usage` has prompt, completion and total tokens"),
    Line("000-stream", "`stream: true`: `data:` records of chunks, then `data: [DONE]`"),
    Line("000-names", "`claude-sonnet-4.5` and `claude-haiku-4.5` stand for Bedrock's full ids"),
    Line("000-ids", "Bedrock's own ids may be used directly"),
    Line("000-errors", "errors have `detail`; 400 for a bad request, 500s for the server's"),
    Line("000-python", "the example with httpx"),
    Line("000-curl", "the example with curl"),
    Line("000-javascript", "the example with fetch"),
    Line("002-compatible", "requests, answers and key header are OpenAI's"),
    Line("002-chat", "`/v1/chat/completions` takes all of OpenAI's parameters, streams by SSE, calls tools"),
    Line("002-bedrock-model", "`bedrock_model` selects the model at Bedrock"),
    Line("002-model-provider", "`model_provider` names the vendor (anthropic, amazon)"),
    Line("002-long", "answers of 15 minutes: nothing but silence ends a stream, and keep-alives fill it"),
    Line("002-completions", "`/v1/completions` works with chat models"),
    Line("002-models", "`/v1/models` names models as OpenAI does and says `provider` and capabilities"),
    Line("002-errors", "Bedrock's errors become OpenAI's, and AWS's code stays visible"),
    Line("002-rate-limits", "limits per key and model are told by headers and a 429"),
    Line("002-auth", "several tenants by keys of their own; AWS's roles towards Bedrock"),
    Line("002-header-model", "`X-Bedrock-Model`: the model that answered"),
    Line("002-header-tokens", "`X-Token-Usage-Input`, `X-Token-Usage-Output`"),
    Line("002-header-request", "`X-Request-ID` on every answer, the client's own where it sent one"),
    Line("002-providers", "`/v1/providers`: who models come from"),
    Line("002-mappings", "`/v1/mappings`: which names stand for which models"),
    Line("002-usage", "`/v1/usage`: tokens used"),
    Line("003-key-headers", "the client's key as `x-api-key` or as a bearer"),
    Line("003-proxy-key", "`PROXY_API_KEY` makes clients show a key; without it none is asked for"),
    Line("003-passthrough", "`OPENAI_API_KEY=!PASSTHRU`: the client's key goes upstream"),
    Line("003-passthrough-missing", "without a client key: 401 that says so in words that are fixed"),
    Line("003-passthrough-mixed", "`!PASSTHRU` beside a fixed key is refused at the start"),
    Line("003-chat", "`/v1/chat/completions` with curl, whole"),
    Line("003-chat-stream", "the same as `text/event-stream`"),
    Line("003-prefix", "`provider:model` names the provider"),
    Line("003-completions", "`/v1/completions`: may be missing there", "works here"),
    Line("003-embeddings", "`/v1/embeddings`: missing there", "works here"),
    Line("003-messages", "`/v1/messages` is Anthropic's own, whole"),
    Line("003-messages-stream", "the same as Anthropic's events"),
    Line("003-count", "`/v1/messages/count_tokens`: the provider's count, else an estimate"),
    Line("003-models", "`/v1/models` with `format` and `provider`"),
    Line("003-models-anthropic", "`anthropic-version` asks for Anthropic's shape"),
    Line("003-models-provider-header", "the header `provider` wins over the query"),
    Line("003-models-refresh", "`refresh=true` asks the provider again; lists are kept on disk"),
    Line("003-aliases", "`/v1/aliases`: by provider, `suggested`, `total`"),
    Line(
        "003-health",
        "`/health` as YAML with providers, formats, addresses and key hashes",
        "by `format=yaml` or `Accept: text/yaml`",
    ),
    Line("003-test-connection", "`/test-connection` asks the default provider once"),
    Line("003-top-models", "`/top-models` with `limit`, `provider`, `include_cache_info`"),
    Line("003-root", "`/`: message, status, configuration, endpoints"),
    Line("003-running-totals", "`/metrics/running-totals` as YAML"),
    Line("003-sse-headers", "streams are not cached"),
    Line(
        "003-cors",
        "streams carry CORS headers for any page",
        "only for allowed pages: a page must not spend a user's quota",
    ),
    Line("003-stream-error", "an error in a stream is an error record, then `[DONE]`"),
    Line("003-statuses", "400, 401, 404, 429, 500s, 503 and 504 mean what they usually do"),
    Line("003-error-shape", "errors of `/v1/messages` are `{type: error, error: {type, message}}`"),
    Line("003-timeout", "`REQUEST_TIMEOUT`; a provider that does not answer in time is a 504"),
    Line("003-environment", "`<PROVIDER>_API_KEY` with several keys, `_BASE_URL`, `_API_FORMAT`, `_ALIAS_*`"),
    Line("003-no-keys-in-logs", "keys are shown as eight hex characters of a hash"),
    Line("004-jwt", "a signed token as the bearer; `sub` is the user"),
    Line("004-jwt-life", "`JWT_ACCESS_TOKEN_EXPIRE_MINUTES`", "`llm-mux keys jwt --minutes`, 30 when nothing is said"),
    Line("004-chat", "`/v1/chat/completions` with all its parameters"),
    Line("004-chat-stream", "`/v1/chat/completions/stream` streams whatever `stream` says"),
    Line("004-stream-type", "streams are sent as text that is read line by line", "as `text/event-stream`"),
    Line(
        "004-models",
        "`/v1/models` as a bare array with `permission`, `root`, `parent`",
        "with `models-format: list`, or `format=list`",
    ),
    Line("004-balance", "`GET /billing/balance`: `user_id`, `balance`"),
    Line("004-transactions", "`GET /billing/transactions` with `limit` and `offset`"),
    Line("004-health", "`/health`: status, timestamp, version, environment, components, storage, retry, breaker"),
    Line("004-health-detailed", "`/health/detailed`: each component with message, details, duration"),
    Line("004-circuit-breakers", "`/health/circuit-breakers` with retry and breaker configuration"),
    Line("004-monitoring", "`/health/monitoring`: langfuse, prometheus, sentry"),
    Line("004-system", "`/health/system`: CPU, memory, disk, connections"),
    Line("004-history", "`/health/history`: the checks of late"),
    Line("004-ready", "`/ready` with its checks"),
    Line("004-metrics", "`/metrics` with four named series"),
    Line("004-errors", "errors have `detail`, `code`, `error_type`"),
    Line("004-statuses", "401, 429 and 503 have error types of their own"),
    Line("004-rate-limit", "60 requests a minute for each user, 1000 an hour for all, configurable"),
    Line("004-rate-headers", "`X-RateLimit-Limit`, `-Remaining`, `-Reset`; `Retry-After` with a 429"),
    Line("004-python", "the example with requests"),
    Line("004-javascript", "the example with fetch, stream and all"),
    Line("004-curl", "the examples with curl"),
    Line("004-go", "the example in Go"),
)
