"""What must stand before either side works: settings, the ways to Kafka and storage."""
