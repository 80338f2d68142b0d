"""Configures logs: one line each to stderr, ours and the libraries' in the same format."""

import io
import json
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

from infra.settings import LogFormat

#: Libraries that say at INFO what only they care about.
_CHATTY: Final = (
    "aiobotocore",
    "aiohttp.access",
    "aiokafka",
    "aiosqlite",
    "alembic",
    "asyncio",
    "botocore",
    "faust",
    "fsspec",
    "mode",
    "pipeline.faust_driver",
    "s3fs",
    "sqlalchemy",
)


def configure_logs(chosen: LogFormat | None) -> None:
    """Send structlog's and logging's lines to stderr in the format ``chosen``, by default JSON but on a terminal."""
    on_terminal = sys.stderr.isatty()
    form: LogFormat = chosen or ("console" if on_terminal else "json")
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if form == "console" else "iso", utc=form != "console"),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last_steps(form, on_terminal)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def escape_control_characters(text: str, *, keep: str = "") -> str:
    r"""``text`` with all that could steer a terminal, or hide or reorder text, written as ``\x1b`` or ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text)


def _escape_values(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Much of what is logged was sent by somebody: names, paths, reasons. Tracebacks keep their lines."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = escape_control_characters(value, keep="\n" if name in ("exception", "stack") else "")
        elif name != "exc_info" and not isinstance(value, bool | int | float | None):
            event[name] = escape_control_characters(repr(value))
    return event


def _print_traceback(stream: TextIO, exc_info: Any) -> None:
    # Not structlog's default, which prints the local variables too: keys may be among them.
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    stream.write(escape_control_characters(plain.getvalue(), keep="\n"))


def _last_steps(form: LogFormat, on_terminal: bool) -> list[Any]:
    if form == "console":
        # https://force-color.org and https://no-color.org
        coloured = (on_terminal or bool(os.environ.get("FORCE_COLOR"))) and not os.environ.get("NO_COLOR")
        console = structlog.dev.ConsoleRenderer(colors=coloured, pad_event_to=0, exception_formatter=_print_traceback)
        return [_escape_values, console]
    if form == "logfmt":
        order = ["timestamp", "level", "logger", "event"]
        logfmt = structlog.processors.LogfmtRenderer(key_order=order)
        return [structlog.processors.format_exc_info, _escape_values, logfmt]
    faults = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    return [faults, structlog.processors.JSONRenderer(_as_json, default=str)]


def _as_json(event: Any, **options: Any) -> str:
    return json.dumps(event, **options).replace("\x7f", "\\u007f")  # the one that JSON leaves as it is
