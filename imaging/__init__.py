"""Bytes in, thumbnails out: formats and their headers, decoding, colour, downscaling, encoding, hashes. Pillow only."""
