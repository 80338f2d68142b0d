"""``thumbstream bench …``. Light to import, like all of the command line."""

from pathlib import Path
from typing import Annotated

import typer

from thumbstream.commands.context import fail, imports_that_stay, settings_or_end

bench = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure this machine.")

_AT_ONCE = [1, 8, 64]

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of a table.")]


@bench.command()
def latency(
    photos: Annotated[int, typer.Option(min=1, help="Photos to measure with, after a few to warm up.")] = 100,
    interval_ms: Annotated[
        int, typer.Option(min=0, help="Least time between two photos; only one is in progress at a time.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Measure an idle system: from an upload event to its result, and how much of that is not rendering.

    Without THUMBSTREAM_KAFKA_BOOTSTRAP: on an embedded broker and a worker of its own, on free ports and in a temporary
    folder; nothing that runs is touched. With it: on that Kafka and the storage of the settings. Workers that run there
    are measured, and no other joins their group; where none runs, one is started for as long as it takes. The photos
    are in a workspace of their own, no consumer group reads along, and all files are erased at the end.
    """
    settings = settings_or_end()
    from thumbstream.bench.latency import run_latency

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
    """Measure rendering alone: naive Pillow, pyvips, sharp and Thumbstream, one thread each, and the lower bound.

    Three thumbnails (800, 400, 150 px) of each kind of photo. The lower bound, the floor, is the decode and the
    encodes with nothing between. pyvips (pip install 'pyvips[binary]') and sharp (npm install sharp, in this folder)
    take part where they are installed. Each has a process of its own, and they take turns, so that what else runs
    disturbs all alike.
    """
    from thumbstream.bench.render.run import run_render

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

    The throughput of 12-megapixel photos alone, and while one after another hostile photo times out after four
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


@bench.command()
def pipeline(
    photos: Annotated[int, typer.Option(min=20, help="Photos in each round.")] = 120,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each contestant, by turns.")] = 3,
    size: Annotated[str, typer.Option(help="12mp: photos of 12 megapixels; small: 320x240 px.")] = "12mp",
    peers: Annotated[bool, typer.Option(help="Measure BullMQ with sharp and a bare aiokafka loop too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Measure the whole way from an event to its result and to the feed, beside bare rendering. Linux only.

    Starts `up` on free ports with a data directory of its own; THUMBSTREAM_KAFKA_BOOTSTRAP, THUMBSTREAM_DATABASE_URL
    and THUMBSTREAM_STORAGE_URL choose other servers. Bare rendering is the product's own renderer in as many bare
    processes. BullMQ and sharp (npm install bullmq ioredis sharp, in this folder; redis-server) take part where they
    are installed.
    """
    if size not in ("12mp", "small"):
        fail("--size is 12mp or small")
    settings = settings_or_end()
    from thumbstream.bench.pipeline.run import run_pipeline

    raise typer.Exit(run_pipeline(settings, photos, rounds, size, peers=peers, as_json=as_json))


@bench.command()
def projector(
    events: Annotated[int, typer.Option(min=3, help="Events that wait when the projector starts.")] = 100_000,
    database_url: Annotated[
        str | None,
        typer.Option(help="An empty database for the rows. Default: a SQLite file for the time being."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the projector alone: events a second of a backlog, CPU of an event, memory. Linux only.

    Three events of each photo, on an embedded broker of its own or, with THUMBSTREAM_KAFKA_BOOTSTRAP, on an empty
    Kafka, where they stay.
    """
    with imports_that_stay():  # as in an api, whose collector of garbage looks as rarely
        settings = settings_or_end()
        from thumbstream.bench.projector import run_projector

    raise typer.Exit(run_projector(settings, events, database_url, as_json=as_json))


@bench.command()
def uploads(
    megabytes: Annotated[float, typer.Option(min=0.01, help="Of each photo.")] = 3.5,
    uploads: Annotated[int, typer.Option(min=1, help="Uploads in each round.")] = 192,
    at_once: Annotated[list[int], typer.Option(min=1, help="Uploads at once; several make several rounds.")] = _AT_ONCE,
    as_json: AsJson = False,
) -> None:
    """Measure uploads: how many a second, how long each takes, CPU and memory of the api. Linux only.

    Starts an api for each round, on a free port with an embedded broker and a data directory of its own, no worker; and
    beside it a plain aiohttp handler that writes the body of a request to a file. THUMBSTREAM_STORAGE_URL chooses
    another storage, from which the originals are erased at the end, and THUMBSTREAM_DATABASE_URL another database,
    which keeps the rows: name one for the bench alone.
    """
    settings = settings_or_end()
    from thumbstream.bench.uploads.run import run_uploads

    raise typer.Exit(run_uploads(settings, round(megabytes * 1e6), uploads, at_once, as_json=as_json))


@bench.command()
def feed(
    clients: Annotated[int, typer.Option(min=1, help="WebSockets that are open.")] = 1000,
    rate: Annotated[int, typer.Option(min=1, help="Changes a second.")] = 100,
    seconds: Annotated[int, typer.Option(min=1, help="For so long.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Measure the feed: the delay from an event to every client, CPU and memory of the api. Linux only.

    Starts an api on a free port with an embedded broker and a data directory of its own, no worker; the changes are
    results that this process sends to Kafka. Ends with 1 if a client lacks a change. THUMBSTREAM_DATABASE_URL chooses
    another database, which must have no photos and keeps the rows.
    """
    settings = settings_or_end()
    from thumbstream.bench.feed.run import run_feed

    raise typer.Exit(run_feed(settings, clients, rate, seconds, as_json=as_json))


def _concurrency() -> int:
    return settings_or_end().concurrency
