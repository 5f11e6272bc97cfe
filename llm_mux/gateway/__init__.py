"""The gateway: one exchange from the client's request to the settled answer."""
