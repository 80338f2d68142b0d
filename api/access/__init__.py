"""Who may do what: API keys, sessions, feed tickets, and the limit on wrong keys."""
