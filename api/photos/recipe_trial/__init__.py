"""Tries another recipe on a sample of photos, and stores nothing."""
