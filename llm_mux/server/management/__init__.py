"""The management API: every route under `/v0/management`, behind the management key. `routes` has them all."""
