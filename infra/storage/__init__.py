"""Files in a folder or in a bucket."""
