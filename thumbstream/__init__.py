"""The front door: the command line, and everything on one machine. Starts the other rooms; nothing imports it."""
