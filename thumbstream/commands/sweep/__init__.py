"""``thumbstream sweep``."""
