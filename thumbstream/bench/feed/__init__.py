"""Measures the feed with many clients."""
