"""Rows become events in Kafka, once each, whatever is lost in between."""
