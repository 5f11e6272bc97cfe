CREATE TABLE accounts (
	provider TEXT NOT NULL,
	label TEXT NOT NULL,
	way TEXT NOT NULL,
	identity TEXT,
	"plan" TEXT,
	state TEXT NOT NULL,
	expires DOUBLE,
	last_error TEXT,
	quotas TEXT NOT NULL,
	updated DOUBLE NOT NULL,
	PRIMARY KEY (provider, label)
);
CREATE TABLE balances (
	user TEXT NOT NULL,
	balance BIGINT NOT NULL,
	created DOUBLE NOT NULL,
	PRIMARY KEY (user)
);
CREATE TABLE client_keys (
	id TEXT NOT NULL,
	revision BIGINT NOT NULL,
	digest BLOB NOT NULL,
	former_digest BLOB,
	former_until DOUBLE,
	name TEXT NOT NULL,
	user TEXT,
	hint TEXT NOT NULL,
	scopes TEXT NOT NULL,
	created DOUBLE NOT NULL,
	expires DOUBLE,
	revoked DOUBLE,
	PRIMARY KEY (id),
	CONSTRAINT client_keys_digest UNIQUE (digest)
);
CREATE INDEX client_keys_revision ON client_keys (revision);
CREATE TABLE exchange_batches (
	id INTEGER NOT NULL,
	first_day INTEGER NOT NULL,
	last_day INTEGER NOT NULL,
	count INTEGER NOT NULL,
	rows TEXT NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE exchange_names (
	id BIGINT NOT NULL,
	day INTEGER NOT NULL,
	client_key TEXT,
	user TEXT,
	protocol TEXT NOT NULL,
	model_asked TEXT NOT NULL,
	model_served TEXT,
	provider TEXT,
	account TEXT,
	attempts INTEGER NOT NULL,
	status INTEGER NOT NULL,
	error_kind TEXT,
	stop_reason TEXT,
	usage_estimated BOOLEAN NOT NULL,
	price_source TEXT,
	path TEXT,
	PRIMARY KEY (id)
);
CREATE TABLE holds (
	id TEXT NOT NULL,
	user TEXT,
	client_key TEXT,
	amount BIGINT NOT NULL,
	expires DOUBLE NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX holds_client_key ON holds (client_key);
CREATE INDEX holds_user ON holds (user);
CREATE TABLE ledger_writers (
	writer TEXT NOT NULL,
	batch BIGINT NOT NULL,
	time DOUBLE NOT NULL,
	PRIMARY KEY (writer)
);
CREATE TABLE llm_mux_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT llm_mux_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE responses (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	created DOUBLE NOT NULL,
	expires DOUBLE NOT NULL,
	model TEXT NOT NULL,
	size BIGINT NOT NULL,
	previous_id TEXT,
	body BLOB NOT NULL,
	items BLOB NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX responses_created ON responses (created, size);
CREATE INDEX responses_expires ON responses (expires);
CREATE TABLE spending (
	client_key TEXT NOT NULL,
	day INTEGER NOT NULL,
	amount BIGINT NOT NULL,
	PRIMARY KEY (client_key, day)
);
CREATE TABLE transactions (
	id INTEGER NOT NULL,
	user TEXT NOT NULL,
	time DOUBLE NOT NULL,
	amount BIGINT NOT NULL,
	balance_after BIGINT NOT NULL,
	description TEXT NOT NULL,
	hold TEXT,
	PRIMARY KEY (id),
	CONSTRAINT transactions_hold UNIQUE (hold)
);
CREATE INDEX transactions_user ON transactions (user, id);
CREATE TABLE usage_days (
	day INTEGER NOT NULL,
	model_served TEXT NOT NULL,
	provider TEXT NOT NULL,
	account TEXT NOT NULL,
	client_key TEXT NOT NULL,
	user TEXT NOT NULL,
	protocol TEXT NOT NULL,
	requests BIGINT NOT NULL,
	failures BIGINT NOT NULL,
	cancelled BIGINT NOT NULL,
	retries BIGINT NOT NULL,
	input_tokens BIGINT NOT NULL,
	output_tokens BIGINT NOT NULL,
	cache_read_tokens BIGINT NOT NULL,
	cache_write_tokens BIGINT NOT NULL,
	reasoning_tokens BIGINT NOT NULL,
	unpriced BIGINT NOT NULL,
	cost BIGINT NOT NULL,
	duration_ms BIGINT NOT NULL,
	ttft_ms BIGINT NOT NULL,
	ttfts BIGINT NOT NULL,
	CONSTRAINT usage_days_pkc PRIMARY KEY (day, model_served, provider, account, client_key, user, protocol)
)
 WITHOUT ROWID;
CREATE TABLE usage_hours (
	hour INTEGER NOT NULL,
	model_served TEXT NOT NULL,
	provider TEXT NOT NULL,
	account TEXT NOT NULL,
	client_key TEXT NOT NULL,
	user TEXT NOT NULL,
	protocol TEXT NOT NULL,
	requests BIGINT NOT NULL,
	failures BIGINT NOT NULL,
	cancelled BIGINT NOT NULL,
	retries BIGINT NOT NULL,
	input_tokens BIGINT NOT NULL,
	output_tokens BIGINT NOT NULL,
	cache_read_tokens BIGINT NOT NULL,
	cache_write_tokens BIGINT NOT NULL,
	reasoning_tokens BIGINT NOT NULL,
	unpriced BIGINT NOT NULL,
	cost BIGINT NOT NULL,
	duration_ms BIGINT NOT NULL,
	ttft_ms BIGINT NOT NULL,
	ttfts BIGINT NOT NULL,
	CONSTRAINT usage_hours_pkc PRIMARY KEY (hour, model_served, provider, account, client_key, user, protocol)
)
 WITHOUT ROWID;
CREATE TABLE usage_totals (
	hour INTEGER NOT NULL,
	requests BIGINT NOT NULL,
	failures BIGINT NOT NULL,
	cancelled BIGINT NOT NULL,
	retries BIGINT NOT NULL,
	input_tokens BIGINT NOT NULL,
	output_tokens BIGINT NOT NULL,
	cache_read_tokens BIGINT NOT NULL,
	cache_write_tokens BIGINT NOT NULL,
	reasoning_tokens BIGINT NOT NULL,
	unpriced BIGINT NOT NULL,
	cost BIGINT NOT NULL,
	duration_ms BIGINT NOT NULL,
	ttft_ms BIGINT NOT NULL,
	ttfts BIGINT NOT NULL,
	CONSTRAINT usage_totals_pkc PRIMARY KEY (hour)
)
 WITHOUT ROWID;
CREATE VIEW exchanges AS SELECT b.id * 65536 + r.key AS id, n."day", json_extract(r.value, '$[1]') AS "time", json_extract(r.value, '$[2]') AS "request_id", n."client_key", n."user", n."protocol", n."model_asked", n."model_served", n."provider", n."account", n."attempts", n."status", n."error_kind", n."stop_reason", json_extract(r.value, '$[3]') AS "input_tokens", json_extract(r.value, '$[4]') AS "output_tokens", json_extract(r.value, '$[5]') AS "cache_read_tokens", json_extract(r.value, '$[6]') AS "cache_write_tokens", json_extract(r.value, '$[7]') AS "reasoning_tokens", n."usage_estimated", json_extract(r.value, '$[8]') AS "ttft_ms", json_extract(r.value, '$[9]') AS "duration_ms", json_extract(r.value, '$[10]') AS "cost", n."price_source", n."path", json_extract(r.value, '$[11]') AS "cache_write_1h_tokens" FROM exchange_batches AS b CROSS JOIN json_each(b.rows) AS r LEFT JOIN exchange_names AS n ON n.id = json_extract(r.value, '$[0]');
