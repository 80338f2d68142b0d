"""The command line. Each command imports what it needs when it runs, so that every one of them starts quickly."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from thumbstream.commands.bench import bench
from thumbstream.commands.context import Key, Url, access_or_end, fail, imports_that_stay, settings_or_end
from thumbstream.commands.dead_commands import dead
from thumbstream.commands.keys_commands import keys

if TYPE_CHECKING:
    from infra.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it takes [words] for markup and keeps the line breaks of the source
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="A Kafka pipeline that makes thumbnails of uploaded photos and loses none.",
)

app.add_typer(bench, name="bench")
app.add_typer(dead, name="dead")
app.add_typer(keys, name="keys")

#: ``up`` starts its children so: they end when it does, and leave the warnings about settings to it.
UnderUp = Annotated[bool, typer.Option("--under-up", hidden=True)]
Workspace = Annotated[str, typer.Option(help="The workspace (tenant) of the photos.")]


def main() -> NoReturn:
    """Run the command line."""
    app(prog_name="thumbstream")
    raise SystemExit(0)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"thumbstream {version('thumbstream')}")
        except PackageNotFoundError:
            typer.echo("thumbstream, run from its source")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


@app.command()
def up() -> None:
    """Run everything on this machine: broker, workers, api and dashboard."""
    settings = settings_or_end()
    from thumbstream.supervisor.up import run_up

    raise typer.Exit(run_up(settings))


@app.command()
def worker(under_up: UnderUp = False) -> None:
    """Run one worker: takes uploads from Kafka and makes their thumbnails."""
    with imports_that_stay():
        settings = _service_settings(under_up)
        from pipeline.run_worker import run_worker
        from thumbstream.supervisor.parent_watch import tell_ready

    raise typer.Exit(run_worker(settings, *([tell_ready] if under_up else [])))


@app.command()
def api(under_up: UnderUp = False) -> None:
    """Run one api: REST, feed, dashboard, and the projector."""
    with imports_that_stay():
        settings = _service_settings(under_up)
        from api.app import run_api

    raise typer.Exit(run_api(settings))


@app.command()
def upload(
    paths: Annotated[list[Path], typer.Argument(help="Files, and directories with all that is in them.")],
    workspace: Workspace = "default",
    item: Annotated[str | None, typer.Option(help="The thing pictured, to which all these photos belong.")] = None,
    url: Url = None,
    key: Key = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Files uploaded at once.")] = 8,
    wait: Annotated[bool, typer.Option(help="Wait until each photo is ready or failed.")] = True,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for results while nothing at all happens.")
    ] = 300,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every photo, however many.")] = False,
) -> None:
    """Upload photos and wait for their thumbnails. Exit code 1 if any photo failed."""
    from thumbstream.commands.upload.command import UploadOptions, run_upload

    access = access_or_end(url, key, workspace)
    options = UploadOptions(item=item, concurrency=concurrency, wait=wait, patience_seconds=timeout, verbose=verbose)
    raise typer.Exit(run_upload(access, paths, options))


@app.command()
def watch(
    workspace: Workspace = "default",
    url: Url = None,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each message as it comes, a line of JSON.")] = False,
) -> None:
    """Show what happens to the photos, as it happens. Ctrl-C ends it."""
    from thumbstream.commands.watch import run_watch

    raise typer.Exit(run_watch(access_or_end(url, key, workspace), as_json=as_json))


@app.command()
def rerender(
    workspace: Workspace = "default",
    all_workspaces: Annotated[
        bool, typer.Option("--all-workspaces", help="In every workspace; needs an admin key.")
    ] = False,
    item: Annotated[str | None, typer.Option(help="Only the photos of this item.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those pending, processing, ready or failed.")] = None,
    code: Annotated[str | None, typer.Option(help="Only those that failed with this code, such as unreadable.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those created since: a time, or how long ago (90s, 15m, 24h, 7d).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only those created before: a time, or how long ago.")] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Only those rendered with other renditions than the current ones.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say how many they are.")] = False,
    in_flight: Annotated[int, typer.Option(min=1, help="Pause while this many photos are unfinished.")] = 1000,
    wait: Annotated[bool, typer.Option(help="Wait until each of them has a result.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Render photos again that meet every condition given. Existing thumbnails are reused."""
    from thumbstream.commands.rerender import Conditions, run_rerender

    conditions = Conditions(item, status, code, since, until, stale)
    access = access_or_end(url, key, workspace)
    raise typer.Exit(
        run_rerender(access, conditions, everywhere=all_workspaces, dry_run=dry_run, in_flight=in_flight, wait=wait)
    )


@app.command()
def sweep(
    repair: Annotated[
        bool, typer.Option("--repair", help="Erase the files that no photo names, and render again what lacks files.")
    ] = False,
    older_than: Annotated[
        str, typer.Option(help="Leave files that are younger: they may be on their way (90s, 15m, 24h, 7d).")
    ] = "24h",
    show: Annotated[int, typer.Option(min=0, help="List this many findings; the rest are only counted.")] = 50,
    force: Annotated[
        bool, typer.Option("--force", help="Repair even if most files or photos would be changed.")
    ] = False,
) -> None:
    """Find files without a photo and photos without their files. Exit code 1 if a finding is not repaired.

    Looks into the storage and the database of the settings; without --repair it changes nothing. What it erases lies
    in originals/ or thumbnails/ or is temporary, is named by no photo at that moment, and is older than --older-than.
    """
    from thumbstream.commands.time_args import parse_duration

    try:
        age = parse_duration(older_than)
    except ValueError as error:
        fail(f"--older-than: {error}")
    settings = settings_or_end()
    from thumbstream.commands.sweep.command import run_sweep

    raise typer.Exit(run_sweep(settings, repair=repair, older_than=age, show=show, force=force))


@app.command()
def audit(
    subject: Annotated[str | None, typer.Option(help="Only of this photo or key, by its id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most this many, the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print each entry as a line of JSON.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show who did what to which photo, key or dead letter, newest first. Takes an admin's key."""
    from thumbstream.commands.audit import run_audit

    raise typer.Exit(run_audit(access_or_end(url, key, "default"), subject, limit=limit, as_json=as_json))


@app.command()
def schemas(topic: Annotated[str | None, typer.Argument(help="One topic. Default: all of them.")] = None) -> None:
    """Print the JSON Schemas of the events."""
    import json

    from schemas.records import json_schemas

    known = json_schemas()
    if topic is not None and topic not in known:
        fail(f"no events are written down for topic {topic}; there are: {', '.join(known)}")
    typer.echo(json.dumps(known if topic is None else known[topic], indent=2))


@app.command()
def doctor(
    event: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Check this sample event for photos.uploaded instead (- reads stdin)."),
    ] = None,
) -> None:
    """Check the settings, Kafka, the topics, the database, storage and the workers, and say what to do."""
    if event is not None:
        from thumbstream.commands.doctor.event_check import check_event_file

        raise typer.Exit(check_event_file(event))
    settings = settings_or_end()
    from thumbstream.commands.doctor.command import run_doctor

    raise typer.Exit(asyncio.run(run_doctor(settings)))


def _service_settings(under_up: bool) -> "Settings":
    settings = settings_or_end(warn=not under_up)
    from infra.logs import configure_logs
    from thumbstream.supervisor.data_dir import DataDirUnusable, make_data_dir

    configure_logs(settings.log_format)
    try:
        make_data_dir(settings.data_dir)
    except DataDirUnusable as error:
        fail(str(error))
    if under_up:
        from thumbstream.supervisor.parent_watch import end_with_parent

        end_with_parent()
    return settings
