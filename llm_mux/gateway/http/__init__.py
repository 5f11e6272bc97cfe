"""HTTP/1.1 to providers, behind `gateway/upstream.py`: the lean client, and aiohttp's session as its reference.

Rule: no other package speaks HTTP to a provider, and nothing outside `gateway/upstream.py` imports from here.
"""
