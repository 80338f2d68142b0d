from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.renditions import DEFAULT_RENDITIONS, Rendition, recipe_of
from schemas.storage_keys import check_storage_key, key_of_thumbnail

PHOTO = UUID("0198f0c2-0000-7000-8000-000000000000")
CHECKSUM = "sha256:" + "ab" * 32
SMALL = DEFAULT_RENDITIONS[0]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("..", "leaves the root"),
        ("originals/../../admin.key", "leaves the root"),
        ("originals/./a.jpg", "is another name of the same file"),
        ("originals//a.jpg", "is another name of the same file"),
        ("originals/a/", "names a folder"),
        ("s3://bucket/a.jpg", "has a scheme"),
        ("file:a.jpg", "has a scheme"),
        ("C:\\a.jpg", "is a path of Windows"),
        ("a\\..\\b", "is a path of Windows"),
        ("zip://a.jpg::file.zip", "chains file systems"),
        ("a\x00.jpg", "has a NUL"),
        ("a\nb", "has a line break"),
        ("a" * 1025, "is longer than S3 takes"),
    ],
)
def test_a_key_is_refused_that(key, why):
    with pytest.raises(ValueError, match="storage key must"):
        check_storage_key(key)


@pytest.mark.parametrize("key", ["a.jpg", "originals/acme/cat.jpg", "über/Größe 1.jpg", "a/b:c.jpg", "...", "a/..b/c"])
def test_a_plain_relative_key_is_taken_as_it_is(key):
    assert check_storage_key(key) == key


@given(st.text(alphabet=".a/\\:", max_size=12))
def test_a_key_that_is_taken_never_leaves_the_root(key):
    try:
        check_storage_key(key)
    except ValueError:
        return
    assert not key.startswith("/")
    assert not {"", ".", ".."}.intersection(key.split("/"))


def test_the_key_of_a_thumbnail_changes_with_the_original_and_with_what_shows_and_with_nothing_else():
    key = key_of_thumbnail("acme", PHOTO, CHECKSUM, SMALL)
    assert key == key_of_thumbnail("acme", PHOTO, CHECKSUM, SMALL)
    assert key != key_of_thumbnail("acme", PHOTO, "sha256:" + "cd" * 32, SMALL)
    assert key != key_of_thumbnail("acme", PHOTO, CHECKSUM, SMALL.model_copy(update={"quality": 80}))
    check_storage_key(key)


def test_a_recipe_does_not_depend_on_the_order_of_the_renditions():
    assert recipe_of(DEFAULT_RENDITIONS) == recipe_of(DEFAULT_RENDITIONS[::-1])
    assert recipe_of(DEFAULT_RENDITIONS) != recipe_of([*DEFAULT_RENDITIONS, Rendition(name="huge", max_edge=2000)])
