"""The dashboard: a page at `/` for browsers and the files that it is made of. It manages by `/v0/management` alone."""
