"""Render processes that can be killed."""
