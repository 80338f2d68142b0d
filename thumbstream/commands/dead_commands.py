"""``thumbstream dead …``. Light to import, like all of the command line."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thumbstream.commands.context import fail, settings_or_end

if TYPE_CHECKING:
    from schemas.dead_letters import DeadLetterFilter


dead = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Dead letters: records that could not be processed. They are read from Kafka; the api need not run.",
)

#: Each has a topic of its own.
Whose = Annotated[
    Literal["worker", "projector"],
    typer.Option(
        "--of",
        help="Whose dead letters: the worker's (uploads, deletions) or the projector's (results, refused events).",
    ),
]
AlsoSettled = Annotated[bool, typer.Option("--all", help="Those that were replayed or dropped already, too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Show which they are, and do nothing.")]


def _criteria(
    of: Whose = "worker",
    reason: Annotated[str | None, typer.Option(help="Only those whose reason has this in it.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Only those whose value names this workspace.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only those that were read from this topic.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those since: a time, or how long ago (90s, 15m, 24h, 7d).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only those before: a time, or how long ago.")] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, help="Only those of this partition of the dead topic.")
    ] = None,
    from_offset: Annotated[
        int | None, typer.Option("--from", min=0, help="The first offset on the dead topic.")
    ] = None,
    to_offset: Annotated[int | None, typer.Option("--to", min=0, help="The last offset on the dead topic.")] = None,
) -> "DeadLetterFilter":
    """The filter that these options make."""
    from schemas.dead_letters import DeadLetterFilter
    from thumbstream.commands.time_args import parse_time

    if (from_offset, to_offset) != (None, None) and partition is None:
        fail("--from and --to are offsets of one partition: say which by --partition")
    times: dict[str, Any] = {}
    for name, text in (("since", since), ("until", until)):
        try:
            times[name] = None if text is None else parse_time(text)
        except ValueError as error:
            fail(f"--{name}: {error}")
    return DeadLetterFilter(
        of=of,
        reason=reason or None,
        workspace_id=workspace,
        topic=topic,
        partition=partition,
        from_offset=from_offset,
        to_offset=to_offset,
        **times,
    )


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with the options of :func:`_criteria`, which it gets as its first argument, a filter."""
    options = inspect.signature(_criteria).parameters
    _, *own = inspect.signature(command).parameters.values()

    def run(**given: Any) -> None:
        criteria = _criteria(**{name: given.pop(name) for name in options})
        command(criteria, **given)

    run.__doc__ = command.__doc__
    run.__signature__ = inspect.Signature([*options.values(), *own])  # type: ignore[attr-defined]  # what Typer reads
    run.__annotations__ = {each.name: each.annotation for each in (*options.values(), *own)}
    return run


@dead.command("list")
@_filtered
def list_dead_letters(
    criteria: "DeadLetterFilter",
    settled: AlsoSettled = False,
    limit: Annotated[int, typer.Option(min=1, help="Show so many at most, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print each as a line of JSON, however many.")] = False,
) -> None:
    """List the dead letters that nobody has replayed or dropped yet."""
    settings = settings_or_end()
    from thumbstream.commands.dead import run_list

    criteria = criteria.model_copy(update={"settled": settled})
    raise typer.Exit(run_list(settings, criteria, limit=limit, as_json=as_json))


@dead.command()
def show(
    partition: Annotated[int, typer.Argument(min=0, help="Of the dead topic, as `list` shows it.")],
    offset: Annotated[int, typer.Argument(min=0, help="Of the dead topic, as `list` shows it.")],
    of: Whose = "worker",
) -> None:
    """Show one dead letter whole: its headers, and its value as JSON, text or bytes."""
    settings = settings_or_end()
    from thumbstream.commands.dead import run_show

    raise typer.Exit(run_show(settings, of, partition, offset))


@dead.command("replay")
@_filtered
def replay(
    criteria: "DeadLetterFilter",
    settled: AlsoSettled = False,
    dry_run: DryRun = False,
) -> None:
    """Send dead letters, unchanged, back to the topic that they were read from, once the cause is fixed.

    A dead letter counts as replayed once Kafka has it, and is not listed any more. Interrupting is safe: one that
    was sent just before goes out again the next time, under the same event id.
    """
    settings = settings_or_end()
    from thumbstream.commands.dead import run_settle

    criteria = criteria.model_copy(update={"settled": settled})
    raise typer.Exit(run_settle(settings, criteria, "replayed", dry_run=dry_run))


@dead.command("drop")
@_filtered
def drop(
    criteria: "DeadLetterFilter",
    everything: Annotated[bool, typer.Option("--all", help="Drop all; without it, say which.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Mark dead letters as dropped: `list` leaves them out, `list --all` shows them until its retention ends."""
    if not (everything or dry_run or criteria.is_narrowed):
        fail("say which dead letters to drop, or --all for all of them")
    settings = settings_or_end()
    from thumbstream.commands.dead import run_settle

    raise typer.Exit(run_settle(settings, criteria, "dropped", dry_run=dry_run))
