import json

import pytest

from schemas.ids import new_id
from thumbstream.commands.doctor.event_check import check_event

_LEAST = {"photo_id": str(new_id()), "workspace_id": "acme", "storage_key": "originals/acme/cat.jpg"}


def test_the_least_that_the_contract_asks_for_is_valid() -> None:
    valid, lines = check_event(json.dumps(_LEAST).encode())
    assert valid
    assert any(_LEAST["photo_id"] in line for line in lines)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"photo_id": "7"}, "photo_id", id="no UUID"),
        pytest.param({"storage_key": "/etc/passwd"}, "must be relative", id="an absolute key"),
        pytest.param({"storage_key": "s3://bucket/cat.jpg"}, "scheme", id="a URL"),
        pytest.param({"workspace_id": None}, "workspace_id", id="no workspace"),
        pytest.param({"occurred_at": "2026-01-01T00:00:00"}, "timezone", id="a time without its zone"),
        pytest.param({"checksum": "md5:1"}, "checksum", id="another digest"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], said: str) -> None:
    valid, lines = check_event(json.dumps(_LEAST | change).encode())
    assert not valid
    assert any(line.startswith("wrong: ") and said in line for line in lines)


def test_all_that_is_wrong_is_named_at_once() -> None:
    _, lines = check_event(b"{}")
    assert len([line for line in lines if line.startswith("wrong: ")]) == 3


@pytest.mark.parametrize("field", ["photoId", "PhotoId", "photo-id", "photo_ID"])
def test_a_field_in_another_spelling_is_recognised(field: str) -> None:
    body = {name: value for name, value in _LEAST.items() if name != "photo_id"} | {field: _LEAST["photo_id"]}
    valid, lines = check_event(json.dumps(body).encode())
    assert not valid
    assert any(f"{field} is no field of it; did you mean photo_id?" in line for line in lines)


@pytest.mark.parametrize("value", [b"", b"\xff", b"[]", b"7", b"{", b"[" * 100_000])
def test_what_is_no_json_object_is_told_so(value: bytes) -> None:
    valid, lines = check_event(value)
    assert not valid
    assert "JSON" in " ".join(lines)
