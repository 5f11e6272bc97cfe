"""Providers: who we can send to, one small file of facts each."""
