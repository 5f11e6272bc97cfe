"""The books: one row per exchange, and the Responses-API objects that clients refer back to.

Rule: nothing here sits on the response path, and no database trouble reaches a request.
See docs/decisions/0005-ledger.md.
"""
