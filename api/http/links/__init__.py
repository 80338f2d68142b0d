"""Addresses that the api gives out: public URLs, signed URLs."""
