"""Messages to stderr, and names from anywhere made safe for a terminal."""

import sys


def say(message: str) -> None:
    """One plain line for the person who waits, beside the output proper."""
    print(f"thumbstream: {printable(message)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """A name may come from anybody: what would steer the terminal, or cannot be encoded, is shown as replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
