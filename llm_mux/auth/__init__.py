"""Credentials: where they are kept, how they are obtained and renewed. I/O is allowed here, HTTP is not."""
