"""Who may do what, and how much: API keys, sessions, feed tickets, and how much each key and workspace may ask for."""
