"""The bytes of the wire: framings, JSON, JSON Schema, media and the small text formats that every protocol shares."""
