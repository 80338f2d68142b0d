"""``thumbstream doctor``: checks everything that the services need, and says how to fix what is wrong."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from infra.settings import Settings
from infra.settings_checks import without_credentials
from thumbstream.client.access import local_url

T = TypeVar("T")

_CHECK_SECONDS: Final = 10.0


class Verdict(StrEnum):
    """How one check went."""

    OK = "ok"
    NOTE = "note"
    BAD = "BAD"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    about: str
    verdict: Verdict
    text: str


def ok(about: str, text: str) -> Finding:
    """All is well."""
    return Finding(about, Verdict.OK, text)


def note(about: str, text: str) -> Finding:
    """Worth knowing, and no reason to worry by itself."""
    return Finding(about, Verdict.NOTE, text)


def bad(about: str, text: str) -> Finding:
    """Something is to be done; ``text`` says what."""
    return Finding(about, Verdict.BAD, text)


async def run_doctor(settings: Settings) -> int:
    """Print a line a check; the exit code is 1 if any of them found something bad."""
    worst = 0
    async for finding in examine(settings):
        print(f"{finding.verdict:<5} {finding.about:<10} {finding.text}", flush=True)
        worst |= finding.verdict is Verdict.BAD
    return int(worst)


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every check, in the order in which one rests on another."""
    from thumbstream.commands.doctor.kafka_checks import examine_kafka

    yield ok("settings", "all understood")
    yield examine_data_dir(settings)
    async for finding in examine_kafka(settings):
        yield finding
    yield await examine_database(settings)
    yield await examine_storage(settings)
    for finding in await examine_api(settings):
        yield finding


def examine_data_dir(settings: Settings) -> Finding:
    """Whether the data directory can be written, and by whom it can be read."""
    folder = settings.data_dir
    if not folder.exists():
        return note("data dir", f"{folder} is not there yet: `thumbstream up` makes it")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return bad("data dir", f"{folder} cannot be written: change its owner, or set THUMBSTREAM_DATA_DIR")
    if stat.S_IMODE(folder.stat().st_mode) & 0o007:
        return note("data dir", f"every account of this machine can look into {folder}: chmod 700 makes it private")
    return ok("data dir", str(folder))


async def examine_database(settings: Settings) -> Finding:
    """Whether the database answers and has the tables of this version."""
    from alembic.script import ScriptDirectory
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    from api.store.database import MIGRATIONS, open_database
    from api.store.engines import url_of_database

    url = url_of_database(settings)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and url.database and not await asyncio.to_thread(Path(url.database).exists):
        return note("database", f"{url.database} is not there yet: the api makes it when it starts")
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    database = open_database(settings)

    async def current() -> str | None:
        async with database.reading() as session:
            await session.execute(text("SELECT 1"))
            try:
                return (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar()
            except DBAPIError:
                return None

    try:
        found = await within(current())
    except Exception as error:  # each driver has errors of its own
        return bad("database", f"{shown}: {first_line(error)}; check THUMBSTREAM_DATABASE_URL and that it runs")
    finally:
        await database.close()
    if found is None:
        return note("database", f"{shown} has no tables yet: the api makes them when it starts")
    if found != head:
        return bad("database", f"{shown} has tables of version {found}, this Thumbstream wants {head}: restart the api")
    return ok("database", f"{shown}, tables of version {found}")


async def examine_storage(settings: Settings) -> Finding:
    """Whether files can be written, read, listed and erased; if not, which right is missing."""
    from infra.storage.client import open_storage

    url = without_credentials(settings.resolved_storage_url)
    if url.startswith("file://") and not await asyncio.to_thread(Path(url.removeprefix("file://")).exists):
        return note("storage", f"{url} is not there yet: the api and the workers make it when they start")
    try:
        storage = open_storage(settings)
        await within(storage.check_rights())
        await storage.close()
    except Exception as error:  # each fsspec backend has errors of its own
        return bad("storage", f"{url}: {first_line(error)}; check THUMBSTREAM_STORAGE_URL and its rights")
    if url.startswith("memory://"):
        return bad(
            "storage", "memory:// is seen by one process only: api and workers would not find each other's files"
        )
    return ok("storage", f"{url}, can be written, read, listed and erased")


async def examine_api(settings: Settings) -> list[Finding]:
    """Whether an api of these settings answers on this machine, and a line for each of its checks that fails."""
    import aiohttp

    url = os.environ.get("THUMBSTREAM_URL") or local_url(settings)
    try:
        timeout = aiohttp.ClientTimeout(total=_CHECK_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/readyz") as answer:
            said = " ".join((await answer.text()).split())
    except (aiohttp.ClientError, TimeoutError):
        return [note("api", f"nothing answers at {url}: `thumbstream up` or `thumbstream api` starts it")]
    if answer.status == 200:
        return [ok("api", f"{url} is ready")]
    failing = _failing_checks(said)
    if not failing:
        return [bad("api", f"{url} is not ready ({answer.status}): {said[:500]}")]
    return [bad("api", f"{url} is not ready: {name}: {reason}") for name, reason in failing.items()]


def _failing_checks(said: str) -> dict[str, str]:
    try:
        checks = json.loads(said)["checks"]
        return {name: str(check["reason"]) for name, check in checks.items() if not check["ok"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


async def within(work: Awaitable[T]) -> T:
    """The answer of ``work``, or ``TimeoutError`` with a text for a person."""
    try:
        return await asyncio.wait_for(work, _CHECK_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"no answer within {_CHECK_SECONDS:g} s") from None


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
