"""Routing: which account and model a request goes to."""
