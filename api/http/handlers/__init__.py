"""HTTP by resource: each module reads a request, asks one thing of the rooms behind it, and answers."""
