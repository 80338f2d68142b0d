"""Open feeds: how they are sent, and why they end."""
