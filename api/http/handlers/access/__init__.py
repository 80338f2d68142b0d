"""Who may, and who did: API keys and the audit log."""
