"""What those who run the pipeline ask: its workers."""
