"""Translators: one wire format each, both directions, whole and streaming, as client protocol and as upstream."""
