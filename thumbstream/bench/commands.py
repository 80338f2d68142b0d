"""``thumbstream bench …``. Light to import, like all of the command line."""

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, help="Measure this machine.")

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")]


@bench.command()
def latency(
    photos: Annotated[int, typer.Option(min=1, help="Photos to measure with, after a few to warm up.")] = 100,
    interval_ms: Annotated[
        int, typer.Option(min=0, help="Least time from one photo to the next; one alone is under way at any time.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Measure an idle system: from an upload event to its result, and how much of that is not rendering.

    Without THUMBSTREAM_KAFKA_BOOTSTRAP: on an embedded broker and a worker of its own, on free ports and in a temporary
    folder; nothing that runs is touched. With it: on that Kafka and the storage of the settings. Workers that run there
    are measured, and no other joins their group; where none runs, one is started for as long as it takes. The photos
    are in a workspace of their own, no consumer group reads along, and all files are erased at the end.
    """
    from groundwork.settings import BadSettings, load_settings
    from thumbstream.bench.latency import run_latency

    try:
        settings = load_settings()
    except BadSettings as error:
        typer.echo(f"thumbstream: the settings cannot be used: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(run_latency(settings, photos, interval_ms / 1000, as_json=as_json))


@bench.command()
def render(
    photos: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Photos of your own, in this folder. Default: some are made."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times that every engine renders every photo.")] = 7,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Write the figures (JSON, Markdown) and a bar chart (PNG, SVG) there."),
    ] = None,
    only: Annotated[str, typer.Option(help="Only the cases with this in their names, such as `to WEBP`.")] = "",
) -> None:
    """Measure rendering alone: naive Pillow, pyvips, sharp and Thumbstream, one thread each, and the floor beneath all.

    Three thumbnails (800, 400, 150 px) of each kind of photo. The floor is the decode and the encodes with nothing
    between. pyvips (pip install 'pyvips[binary]') and sharp (npm install sharp, in this folder) take part where they
    are installed. Each has a process of its own, and they take turns, so that what else runs disturbs all alike.
    """
    from thumbstream.bench.render import run_render

    raise typer.Exit(run_render(photos, rounds, out, only))


Processes = Annotated[
    int | None, typer.Option(min=1, help="Render processes. Default: THUMBSTREAM_CONCURRENCY, which is one a core.")
]


@bench.command()
def neighbour(
    processes: Processes = None,
    photos: Annotated[int, typer.Option(min=1, help="Photos in each round.")] = 50,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each, by turns.")] = 9,
    as_json: AsJson = False,
) -> None:
    """Measure what a hostile photo costs the others: it burns its deadline in one of the pool's processes.

    The throughput of 12-megapixel photos alone, and while one after another hostile photo is given up after four
    seconds of CPU time. What is left should be no less than the other processes' share. Needs two processes at least.
    """
    from thumbstream.bench.neighbour import run_neighbour

    raise typer.Exit(run_neighbour(max(2, processes or _concurrency()), photos, rounds, as_json=as_json))


@bench.command()
def soak(
    processes: Processes = None,
    photos: Annotated[int, typer.Option(min=1, help="Photos in all.")] = 5000,
    every: Annotated[int, typer.Option(min=1, help="Photos between two looks at the memory.")] = 500,
    photos_per_process: Annotated[
        int, typer.Option(min=2, help="Photos after which a process is replaced at the latest.")
    ] = 2000,
    as_json: AsJson = False,
) -> None:
    """Render thousands of photos of many kinds, and print the memory of every process along the way. Linux only."""
    from thumbstream.bench.soak import run_soak

    raise typer.Exit(run_soak(processes or _concurrency(), photos, every, photos_per_process, as_json=as_json))


def _concurrency() -> int:
    from groundwork.settings import BadSettings, load_settings

    try:
        return load_settings().concurrency
    except BadSettings as error:
        typer.echo(f"thumbstream: the settings cannot be used: {error}", err=True)
        raise typer.Exit(2) from error
