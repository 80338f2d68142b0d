"""One decoder for each format, or for what sets some files of a format apart."""
