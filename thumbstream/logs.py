"""Logs: one line each to stderr, ours and the libraries' in the same form."""

import logging
import os
import sys
from typing import Any, Final

import structlog

from groundwork.settings import LogFormat

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


def _last_steps(form: LogFormat, on_terminal: bool) -> list[Any]:
    if form == "console":
        # https://force-color.org and https://no-color.org
        coloured = (on_terminal or bool(os.environ.get("FORCE_COLOR"))) and not os.environ.get("NO_COLOR")
        # Not the default, which prints the local variables too: keys may be among them.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=coloured, pad_event_to=0, exception_formatter=plain)]
    if form == "logfmt":
        order = ["timestamp", "level", "logger", "event"]
        return [structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer(key_order=order)]
    faults = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    return [faults, structlog.processors.JSONRenderer(default=str)]
