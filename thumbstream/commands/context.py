"""What every command starts with: settings and access, or an exit with every problem listed."""

import contextlib
import gc
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

if TYPE_CHECKING:
    from infra.settings import Settings
    from thumbstream.client.access import Access

#: Exit codes. Source: the shell's habit, 128 + SIGINT.
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

Url = Annotated[str | None, typer.Option(help="Where the api is. Default: THUMBSTREAM_URL, else this machine.")]
Key = Annotated[
    str | None,
    typer.Option(help="The key. Default: THUMBSTREAM_KEY, else the admin key of the settings or the data directory."),
]

_OBJECTS_BEFORE_COLLECTION: Final = 10_000


@contextlib.contextmanager
def imports_that_stay() -> Iterator[None]:
    """What is imported meanwhile lives as long as the process: the garbage collector never looks at it.

    Spares a tenth of a start, and a look at 200,000 objects now and then afterwards. From then on the collector looks
    when 10,000 more objects are there than were, not 700: batches of events are thousands of objects, none of which is
    in a circle, and to look at them so often took a sixth of the projector's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
        gc.enable()


def settings_or_end(*, warn: bool = True) -> "Settings":
    """The settings, or the end with every problem listed."""
    from infra.settings import BadSettings, load_settings

    bad: BadSettings | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            settings = load_settings()
        except BadSettings as error:
            bad = error
    for message in dict.fromkeys(str(warning.message) for warning in caught) if warn else ():
        typer.echo(f"thumbstream: warning: {message}", err=True)
    if bad is not None:
        fail(f"the settings cannot be used:\n  {str(bad).replace(chr(10), chr(10) + '  ')}")
    return settings


def access_or_end(url: str | None, key: str | None, workspace: str) -> "Access":
    """Where the api is and who we are to it, or the end."""
    from thumbstream.client.access import NoKey, find_access

    try:
        return find_access(settings_or_end(), url=url, key=key, workspace=workspace)
    except NoKey as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say why the command cannot be carried out, and end."""
    typer.echo(f"thumbstream: {message}", err=True)
    sys.exit(MISUSED)
