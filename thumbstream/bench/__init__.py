"""Measurements that anybody can repeat: what a render costs, and what Kafka and storage add to it."""
