"""Alembic's folder: `env.py` and one file under `versions/` for each change of the tables.

Rule: a revision is a snapshot and imports nothing of `schema`, which moves on without it.
"""
