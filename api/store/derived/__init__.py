"""Rows that are derived from photos, so that nobody reads all photos: figures, words to search by, fingerprints."""
