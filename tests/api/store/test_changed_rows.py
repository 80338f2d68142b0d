"""Many rows are written as few are, whichever statements the database gets for them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from api.store.changed_rows import ChangedRows
from api.store.tables import PhotoRow, PlainRow

PHOTOS = PhotoRow.__table__
BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def row_number(number: int) -> PlainRow:
    """A row with every kind of value, and without any where there may be none."""
    row = PlainRow(**dict.fromkeys(PHOTOS.c.keys()))
    vars(row).update(
        id=UUID(int=number), workspace_id="acme", created_at=BEGAN + timedelta(seconds=number), updated_at=BEGAN,
        display_order=number, is_primary=number % 2 == 0, thumbnail_status="pending", attempts=1, is_lost=False,
        republications=0, caption='a "quoted" {caption}, \\N' if number % 3 else None,
        measured={"file_size": number, "of": ["x", None]} if number % 3 else None,
    )  # fmt: skip
    return row


@pytest.mark.parametrize("count", [1, 49, 50, 120])
async def test_rows_come_back_as_they_were_added_changed_and_taken_out(database, count):
    numbers = range(1, count + 1)

    def add(connection):
        added = ChangedRows(PHOTOS, [])
        for number in reversed(numbers):
            added.add(row_number(number))
        added.write(connection)

    def change(connection):
        rows = ChangedRows(PHOTOS, read(connection))
        for row in list(rows):
            if row.display_order % 5 == 0:
                rows.pop(row.id)
            else:
                row.caption, row.measured, row.width = None, {"file_size": row.display_order}, 3
                row.status_at = BEGAN if row.display_order % 2 else None
        rows.write(connection)

    def read(connection):
        found = connection.execute(select(PHOTOS).order_by(PHOTOS.c.id)).mappings()
        return [PlainRow(**row) for row in found]

    await database.run_write(add)
    assert await database.run_read(read) == [row_number(number) for number in numbers]
    await database.run_write(change)
    expected = [row_number(number) for number in numbers if number % 5]
    for row in expected:
        row.caption, row.measured, row.width = None, {"file_size": row.display_order}, 3
        row.status_at = BEGAN if row.display_order % 2 else None
    assert await database.run_read(read) == expected
