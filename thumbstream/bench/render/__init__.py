"""``thumbstream bench render``: renderers against each other."""
