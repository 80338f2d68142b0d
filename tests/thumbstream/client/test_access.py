from pathlib import Path

import pytest

from infra.settings import Settings
from thumbstream.client.access import NoKey, find_access, local_url


def test_the_nearest_source_of_a_key_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "admin.key").write_text("of the data directory\n")
    bare = Settings(data_dir=tmp_path)

    def found(settings: Settings, key: str | None = None) -> str:
        return find_access(settings, url=None, key=key, workspace="w").key

    assert found(bare) == "of the data directory"
    assert found(Settings(data_dir=tmp_path, admin_key="of the settings")) == "of the settings"
    monkeypatch.setenv("THUMBSTREAM_KEY", "of the environment")
    assert found(bare) == "of the environment"
    assert found(bare, "of the argument") == "of the argument"


def test_a_dotenv_file_counts_as_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("THUMBSTREAM_KEY=k\nTHUMBSTREAM_URL=https://photos.example/\n")
    access = find_access(Settings(data_dir=tmp_path), url=None, key=None, workspace="w")
    assert (access.url, access.key) == ("https://photos.example", "k")


def test_without_any_key_every_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match=r"--key.*THUMBSTREAM_KEY.*admin\.key"):
        find_access(Settings(data_dir=tmp_path), url=None, key=None, workspace="w")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
    ],
)
def test_the_local_url_is_one_that_can_be_reached(host: str, url: str) -> None:
    assert local_url(Settings(http_host=host)) == url


def test_the_key_shows_up_in_no_log(tmp_path: Path) -> None:
    access = find_access(Settings(data_dir=tmp_path), url=None, key="secret", workspace="w")
    assert "secret" not in repr(access)
