"""Photos at the end of the times that can be kept, and rows from when there was no such end."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, text

from api.photos.archive import _zip_time
from api.photos.commands import render_again
from api.projection.apply import project
from api.publishing.republish import mark_lost, republish
from api.store.database import open_database
from api.store.tables import PhotoRow
from infra.settings import Settings
from schemas import ids
from schemas.events import PhotoUploaded
from schemas.times import LATEST


async def test_photos_of_the_last_moment_and_beyond_are_rendered_again_as_often_as_asked(
    tmp_path: Path, database_url: str
) -> None:
    database = open_database(Settings(data_dir=tmp_path, database_url=database_url, _env_file=None))
    uploads = [
        PhotoUploaded(
            event_id=f"e{n}", occurred_at=LATEST, photo_id=ids.new_id(), workspace_id="acme", storage_key=f"a/{n}"
        )
        for n in range(2)
    ]
    await database.write(lambda session: project(session, uploads))
    beyond = "'9999-12-31 23:59:59.999999'" if "sqlite" in database_url else "'9999-12-31 23:59:59.999999+00'"

    async def spoil(session):  # type: ignore[no-untyped-def]
        await session.execute(
            text(f"UPDATE photos SET uploaded_at = {beyond}, status_at = {beyond}, created_at = {beyond}")
        )

    await database.write(spoil)
    seen = []
    for _ in range(3):

        async def again(session):  # type: ignore[no-untyped-def]
            rows = (await session.scalars(select(PhotoRow))).all()
            assert await render_again(session, rows) == 2
            seen.append(max(str(row.upload_event_id) for row in rows))
            assert all(row.uploaded_at == LATEST and row.created_at == LATEST for row in rows)
            assert all(_zip_time(row.created_at)[0] == 2107 for row in rows)

        await database.write(again)
    assert seen == sorted(seen)
    await mark_lost(database)
    await republish(database, None, 10)
    await database.close()


def test_a_zip_has_the_nearest_time_that_it_can_have() -> None:
    assert _zip_time(datetime(1970, 1, 1, tzinfo=UTC))[:3] == (1980, 1, 1)
    assert _zip_time(datetime(2025, 6, 1, 12, tzinfo=UTC)) == (2025, 6, 1, 12, 0, 0)
