"""What the database reads to answer: the statements of some work, and how each is carried out."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, event

from api.store.database import Database

Statement = tuple[str, Any]

#: Instructions of SQLite's machine: some ten for each row that it looks at.
_STEPS_A_ROW: Final = 10


@contextmanager
def statements_of(database: Database) -> Iterator[list[Statement]]:
    """The statements that are executed in the context, with their parameters."""
    seen: list[Statement] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    engines = [each for each in (database._engine.sync_engine, database._sqlite) if each is not None]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def check_plans(database: Database, statements: list[Statement], *, most_rows: int) -> None:
    """Fail where a statement reads a table from end to end, sorts without need, or looks at more than ``most_rows``."""
    assert statements
    check = _check_postgresql if database.is_postgresql else _check_sqlite
    for statement, parameters in list(statements):
        await database.run_read(partial(check, statement=statement, parameters=parameters, most_rows=most_rows))


def _check_postgresql(connection: Connection, statement: str, parameters: Any, most_rows: int) -> None:
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    for node in _nodes(plan["Plan"]):
        if "Relation Name" not in node and "Index Name" not in node:
            continue
        removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
        rows = (node["Actual Rows"] + removed) * node["Actual Loops"]
        assert rows <= most_rows, f"{rows:g} rows by {node['Node Type']} for {statement}"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _check_sqlite(connection: Connection, statement: str, parameters: Any, most_rows: int) -> None:
    plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    for step in plan:
        table = step.removeprefix("SCAN ").split()[0] if step.startswith("SCAN ") else ""
        assert not table.startswith(("photo", "deleted")), f"{step} for {statement}"
    driver: Any = connection.connection.driver_connection
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    driver.set_progress_handler(count, _STEPS_A_ROW)
    try:
        connection.exec_driver_sql(statement, parameters).all()
    finally:
        driver.set_progress_handler(None, 0)
    assert steps <= most_rows, f"as many steps as {steps} rows take for {statement}"
