"""``thumbstream upload``."""
