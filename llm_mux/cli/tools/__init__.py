"""The coding tools that `connect` and `run` know: where their settings are, and what has to stand there."""
