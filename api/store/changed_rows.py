"""Rows that are read together, changed in memory and written together: a few statements for thousands of them.

On PostgreSQL many rows go as one array for each column: the server runs one statement instead of one for each row.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Insert,
    Table,
    TableValuedAlias,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from api.store.database import one_of
from api.store.tables import PlainRow

#: From so many on arrays are cheaper; asyncpg asks the server about the types of arrays once for each connection.
_MANY_ROWS: Final = 50

_KEY: Final = "key_of_row"


def insert_rows(connection: Connection, into: Table | Insert, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert ``rows``, which have the same columns, in their order. ``into`` may say what to do where there is one."""
    if not rows:
        return
    statement = insert(into) if isinstance(into, Table) else into
    if not _by_arrays(connection, rows):
        connection.execute(statement, rows)
        return
    columns = [statement.table.c[name] for name in rows[0]]
    connection.execute(statement.from_select(columns, select(_unnested(columns, rows))))


def _update_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set the columns of ``rows``, all the same; each row's primary key is in ``_KEY``."""
    names = tuple(name for name in rows[0] if name != _KEY)
    if not _by_arrays(connection, rows):
        connection.execute(_update_of(table, names), rows)
        return
    (key,) = table.primary_key.columns
    new = _unnested([key.label(_KEY), *(table.c[name] for name in names)], rows)
    connection.execute(update(table).where(key == new.c[_KEY]).values({name: new.c[name] for name in names}))


@lru_cache(256)
def _update_of(table: Table, names: tuple[str, ...]) -> Update:
    """Made once for each set of columns: to put it together takes longer than SQLite takes for it."""
    (key,) = table.primary_key.columns
    return update(table).where(key == bindparam(_KEY)).values({name: bindparam(name) for name in names})


def _by_arrays(connection: Connection, rows: Sequence[object]) -> bool:
    return connection.dialect.name == "postgresql" and len(rows) >= _MANY_ROWS


def _unnested(columns: Sequence[ColumnElement[Any]], rows: Sequence[Mapping[str, Any]]) -> TableValuedAlias:
    arrays = [
        bindparam(None, [row[column.name] for row in rows], type_=ARRAY(column.type, dimensions=1))
        for column in columns
    ]
    return func.unnest(*arrays).table_valued(*(column.name for column in columns)).render_derived()


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
                changed[tuple(values)].append({_KEY: key, **values})
        for rows in added.values():
            insert_rows(connection, self._table, rows)
        for rows in changed.values():
            _update_rows(connection, self._table, rows)
