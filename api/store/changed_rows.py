"""Rows that are read together, changed in memory and written together: a few statements for thousands of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, bindparam, delete, insert, update

from api.store.database import one_of
from api.store.tables import PlainRow


class ChangedRows:
    """Rows of one table: as they were read, and as they are to be."""

    def __init__(self, table: Table, found: Iterable[PlainRow]) -> None:
        self._table = table
        (self._key,) = table.primary_key.columns
        self._rows = {getattr(row, self._key.name): row for row in found}
        #: As they are in the database.
        self._kept = {key: dict(vars(row)) for key, row in self._rows.items()}

    def get(self, key: UUID) -> PlainRow | None:
        """The row with this key."""
        return self._rows.get(key)

    def add(self, row: PlainRow) -> PlainRow:
        """One more row. Returns it."""
        self._rows[getattr(row, self._key.name)] = row
        return row

    def pop(self, key: UUID) -> PlainRow | None:
        """Take a row out, if there is one, and return it; it is deleted where the database has it."""
        return self._rows.pop(key, None)

    def __iter__(self) -> Iterator[PlainRow]:
        return iter(self._rows.values())

    def changes(self) -> Iterator[tuple[UUID, PlainRow | None, PlainRow | None]]:
        """Each row's key, the row as it is in the database, and as it is to be; None where there is none."""
        for key in self._kept.keys() | self._rows.keys():
            before = self._kept.get(key)
            yield key, None if before is None else PlainRow(**before), self._rows.get(key)

    def write(self, connection: Connection) -> None:
        """Write what has changed, rows in the order of their keys; the same columns of many rows in one go."""
        if gone := sorted(self._kept.keys() - self._rows.keys()):
            connection.execute(delete(self._table).where(one_of(connection, self._key, gone)))
        added: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        changed: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for key, row in sorted(self._rows.items()):
            if (before := self._kept.get(key)) is None:
                values = {name: value for name, value in vars(row).items() if value is not None}
                added[tuple(values)].append(values)
                continue
            values = {
                name: value
                for name, value in vars(row).items()
                if value is not before[name] and value != before[name]  # most are the very same object, told at once
            }
            if values:
                changed[tuple(values)].append({"key_of_row": key, **values})
        for rows in added.values():
            connection.execute(insert(self._table), rows)
        for columns, rows in changed.items():
            this = update(self._table).where(self._key == bindparam("key_of_row"))
            connection.execute(this.values({name: bindparam(name) for name in columns}), rows)
