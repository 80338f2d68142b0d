"""``python -m thumbstream``. Imports nothing until it runs: the processes that render import this module again."""

if __name__ == "__main__":
    from thumbstream.commands.cli import main

    main()
