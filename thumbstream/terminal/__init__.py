"""What commands print: messages to stderr, and progress."""
