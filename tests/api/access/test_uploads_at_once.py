"""Uploads on their way are counted over all instances, and forgotten with an instance that dies."""

from contextlib import ExitStack

import pytest

from api.access.uploads_at_once import TooManyUploads, UploadLimit, UploadsAtOnce
from api.store.database import Database

_THREE = UploadLimit("workspace", "acme", 3)


async def test_no_more_than_the_limit_are_on_their_way_and_one_that_ends_makes_room(database: Database) -> None:
    uploads = UploadsAtOnce(database)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(uploads.counted([_THREE]))
        with uploads.counted([_THREE]), pytest.raises(TooManyUploads, match="3 uploads"), uploads.counted([_THREE]):
            pass
        with uploads.counted([_THREE]), uploads.counted([UploadLimit("workspace", "other", 1)]):
            pass


async def test_what_fails_is_counted_no_more(database: Database) -> None:
    uploads = UploadsAtOnce(database)
    for _ in range(10):
        with pytest.raises(OSError, match="lost"), uploads.counted([_THREE]):
            raise OSError("lost")


async def test_instances_know_of_each_other(database: Database) -> None:
    one, other = UploadsAtOnce(database), UploadsAtOnce(database)
    with one.counted([_THREE]), one.counted([_THREE]):
        await one.exchange()
        await other.exchange()
        with other.counted([_THREE]), pytest.raises(TooManyUploads), other.counted([_THREE]):
            pass
    await one.exchange()
    await other.exchange()
    with other.counted([_THREE]), other.counted([_THREE]), other.counted([_THREE]):
        pass


async def test_a_refusal_by_one_limit_counts_against_none(database: Database) -> None:
    uploads, key = UploadsAtOnce(database), UploadLimit("key", "k", 1)
    with uploads.counted([key]):
        for _ in range(5):
            with pytest.raises(TooManyUploads, match="the key"), uploads.counted([_THREE, key]):
                pass
        with uploads.counted([_THREE]), uploads.counted([_THREE]), uploads.counted([_THREE]):
            pass
