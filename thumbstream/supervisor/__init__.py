"""``thumbstream up``: every process of the system on this machine."""
