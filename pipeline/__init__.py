"""Upload event in, thumbnails in storage and a result event out."""
