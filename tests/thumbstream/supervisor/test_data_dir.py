import stat
from pathlib import Path

import pytest

from thumbstream.supervisor.data_dir import DataDirBusy, DataDirUnusable, claim_data_dir


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    with claim_data_dir(tmp_path / "data"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_only_one_holds_it_and_the_other_is_told_who(tmp_path: Path) -> None:
    with (
        claim_data_dir(tmp_path),
        pytest.raises(DataDirBusy, match=r"process \d+\) uses .* THUMBSTREAM_DATA_DIR"),
        claim_data_dir(tmp_path),
    ):
        pass
    with claim_data_dir(tmp_path) as last_end_was_clean:
        assert last_end_was_clean


def test_an_end_in_disorder_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claim_data_dir(tmp_path):
        _ = 1 / 0
    with claim_data_dir(tmp_path) as last_end_was_clean:
        assert not last_end_was_clean


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirUnusable, match="THUMBSTREAM_DATA_DIR"), claim_data_dir(tmp_path / "file" / "data"):
        pass
