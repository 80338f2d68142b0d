"""Settings of how the api is reached from outside."""

import pytest

from infra.settings import BadSettings, load_settings

KEY = "k" * 32


@pytest.mark.parametrize(
    ("name", "given", "found"),
    [
        ("public_url", "https://photos.example/thumbs/", "https://photos.example/thumbs"),
        ("public_url", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("allowed_hosts", "Photos.Example, *.wild.example,", ("photos.example", "*.wild.example")),
        ("cors_origins", "HTTPS://App.Example:443, http://localhost:5173/", ("https://app.example", "http://localhost:5173")),
        ("cors_origins", "*", ("*",)),
        ("signed_url_redirect", "false", False),
    ],
)  # fmt: skip
def test_values_are_brought_into_one_form(name: str, given: str, found: object) -> None:
    assert getattr(load_settings(**{name: given}), name) == found


def test_proxies_are_addresses_and_networks() -> None:
    found = load_settings(trusted_proxies="10.0.0.0/8, ::1,192.0.2.1").trusted_proxies
    assert [str(network) for network in found] == ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]


@pytest.mark.parametrize(
    ("name", "given", "fault"),
    [
        ("public_url", "photos.example", "starts with http"),
        ("public_url", "https://photos.example/?a=b", "without \\? and #"),
        ("public_url", "https://user:secret@photos.example", "without a user"),
        ("trusted_proxies", "10.0.0.1, nginx", "number 2 of 2 is not"),
        ("trusted_proxies", "10.0.0.1/8", "number 1 of 1 is not"),
        ("allowed_hosts", "photos.example:443", "without a port"),
        ("allowed_hosts", "https://photos.example", "host name"),
        ("cors_origins", "https://app.example/path", "without a path"),
        ("cors_origins", "https://app.example, *", "alone"),
        ("cors_origins", "app.example", "starts with http"),
        ("url_signing_keys", f"{KEY}, short", "number 2 of 2 has fewer than 32"),
        ("signed_url_redirect", "true", "only for storage on S3"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, given: str, fault: str) -> None:
    monkeypatch.setenv(f"THUMBSTREAM_{name.upper()}", given)
    with pytest.raises(BadSettings, match=f"THUMBSTREAM_{name.upper()}.*{fault}") as caught:
        load_settings()
    assert "secret" not in str(caught.value).replace("secret-", "")
    assert KEY not in str(caught.value)


def test_keys_stand_newest_first_and_are_not_shown() -> None:
    settings = load_settings(url_signing_keys=f"{KEY}, {KEY}old")
    assert [key.get_secret_value() for key in settings.url_signing_keys] == [KEY, f"{KEY}old"]
    assert KEY not in repr(settings)
