"""The options of ``thumbstream keys``."""

from typing import Annotated, Literal

import typer

from thumbstream.commands.context import Key, Url, access_or_end, fail

keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke. Takes an admin's key.")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it; also the uploaded_by of what it uploads.")],
    role: Annotated[
        Literal["viewer", "editor", "admin"],
        typer.Option(help="viewer reads, editor also writes, admin also manages keys."),
    ],
    workspace: Annotated[str | None, typer.Option(help="The workspace that it reaches.")] = None,
    all_workspaces: Annotated[bool, typer.Option("--all-workspaces", help="It reaches every workspace.")] = False,
    expires: Annotated[str | None, typer.Option(help="When it ends: in how long (12h, 90d), or a time.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a key and print it: it is shown only now."""
    from thumbstream.commands.keys import run_create

    if (workspace is None) != all_workspaces:
        fail("say --workspace NAME or --all-workspaces")
    wanted = {"name": name, "role": role, "workspace_id": workspace}
    raise typer.Exit(run_create(access_or_end(url, key, "default"), wanted, expires))


@keys.command(name="list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print each key as a line of JSON.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List the keys that yours may revoke, oldest first."""
    from thumbstream.commands.keys import run_list

    raise typer.Exit(run_list(access_or_end(url, key, "default"), as_json=as_json))


@keys.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="ID", help="The key's id, or its prefix as `list` shows it.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """End a key at once, with its sessions and open feeds. Exit code 1 if there is no such key."""
    from thumbstream.commands.keys import run_revoke

    raise typer.Exit(run_revoke(access_or_end(url, key, "default"), which))
