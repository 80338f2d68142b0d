"""Events from Kafka become rows."""
