"""What changes, told to every subscriber at once."""
