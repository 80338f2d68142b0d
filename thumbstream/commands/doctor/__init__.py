"""``thumbstream doctor``."""
