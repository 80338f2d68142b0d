"""Kafka clients, and what we patch in them."""
