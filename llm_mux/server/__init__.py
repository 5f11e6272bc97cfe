"""The server: HTTP routes, client protocols, and the composition of everything below."""
