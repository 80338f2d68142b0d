"""Whom the headers of reverse proxies speak for, and when they are believed."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

import api.http
from api.http.app_keys import SETTINGS
from api.http.network.forwarded import believe_proxies, client_of
from infra.settings import Settings
from running_api import running_api

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def asked(peer: str, *headers: tuple[str, str]) -> tuple[str | None, str | None, str | None] | None:
    """Address, scheme and host of the client; None where the headers are not believed."""
    request = make_mocked_request("GET", "/", CIMultiDict(headers)).clone(remote=peer)
    found = client_of(request, TRUSTED)
    return None if found is None else (str(found.address), found.scheme, found.host)


FOR, PROTO, HOST, BOTH = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("10.0.0.1", [(FOR, "192.0.2.1"), (PROTO, "https"), (HOST, "h.example")], ("192.0.2.1", "https", "h.example")),
        ("10.0.0.1", [(FOR, "192.0.2.1")], ("192.0.2.1", None, None)),
        # What a client writes itself stands before what the first trusted proxy adds.
        ("10.0.0.1", [(FOR, "127.0.0.1, 10.9.9.9, 192.0.2.1")], ("192.0.2.1", None, None)),
        ("10.0.0.1", [(FOR, "127.0.0.1"), (FOR, "192.0.2.1, 10.0.0.2")], ("192.0.2.1", None, None)),
        ("10.0.0.1", [(FOR, "6.6.6.6, 192.0.2.1, 10.0.0.2"), (PROTO, "https, http")], ("192.0.2.1", "https", None)),
        ("10.0.0.1", [(FOR, "192.0.2.1, 10.0.0.2"), (PROTO, "https")], ("192.0.2.1", "https", None)),
        ("10.0.0.1", [(FOR, "10.0.0.7, 10.0.0.2")], ("10.0.0.7", None, None)),
        ("::1", [(FOR, "2001:db8::7")], ("2001:db8::7", None, None)),
        ("::ffff:10.0.0.1", [(FOR, "::ffff:192.0.2.1")], ("192.0.2.1", None, None)),
        ("10.0.0.1", [(FOR, "192.0.2.1:4711")], ("192.0.2.1", None, None)),
        ("10.0.0.1", [(FOR, "192.0.2.1"), (PROTO, "gopher"), (HOST, "a b\\")], ("192.0.2.1", None, None)),
        ("10.0.0.1", [(BOTH, "for=192.0.2.1;proto=https;host=h.example")], ("192.0.2.1", "https", "h.example")),
        ("10.0.0.1", [(BOTH, 'for=6.6.6.6, For="[2001:db8::7]:4711";Proto=HTTPS, for=10.0.0.2')],
         ("2001:db8::7", "https", None)),
        ("10.0.0.1", [(BOTH, "for=192.0.2.1"), (FOR, "192.0.2.1")], ("192.0.2.1", None, None)),
        # A proxy writes one of the two headers; the other one may be the client's own.
        ("10.0.0.1", [(BOTH, "for=127.0.0.1"), (FOR, "192.0.2.1")], None),
        ("10.0.0.1", [(BOTH, "for=_hidden")], None),
        ("10.0.0.1", [(BOTH, "for=192.0.2.1;;garbage")], None),
        ("10.0.0.1", [(FOR, "unknown")], None),
        ("10.0.0.1", [(FOR, "192.0.2.1, unknown, 10.0.0.2")], None),
        ("10.0.0.1", [(PROTO, "https")], None),
        ("10.0.0.1", [], None),
        ("192.0.2.9", [(FOR, "127.0.0.1"), (PROTO, "https"), (HOST, "evil"), (BOTH, "for=127.0.0.1")], None),
    ],
)  # fmt: skip
def test_only_what_trusted_proxies_say_counts(
    peer: str, headers: list[tuple[str, str]], client: tuple[str, str | None, str | None] | None
) -> None:
    assert asked(peer, *headers) == client


addresses = st.ip_addresses().map(str)


@settings(deadline=None)
@given(st.lists(addresses, max_size=4), st.ip_addresses(v=4, network="192.0.2.0/24").map(str), st.integers(0, 3))
def test_no_client_can_choose_its_address(claimed: list[str], client: str, proxies: int) -> None:
    chain = [*claimed, client, *(f"10.0.0.{number}" for number in range(2, 2 + proxies))]
    assert asked("10.0.0.1", (FOR, ", ".join(chain))) == (client, None, None)
    forwarded = ", ".join(f'for="[{hop}]"' if ":" in hop else f"for={hop}" for hop in chain)
    assert asked("10.0.0.1", (BOTH, forwarded)) == (client, None, None)


@settings(deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=80),
    st.sampled_from([FOR, PROTO, HOST, BOTH]),
)
def test_no_header_is_too_odd_to_be_read(value: str, name: str) -> None:
    asked("10.0.0.1", (FOR, "192.0.2.1"), (name, value))


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_handlers_see_the_request_as_the_client_has_sent_it(is_trusted: bool) -> None:
    app = web.Application(middlewares=[believe_proxies])
    trusted = "127.0.0.0/8" if is_trusted else "10.0.0.0/8"
    app[SETTINGS] = Settings(trusted_proxies=trusted, _env_file=None)

    async def show(request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        return web.json_response([request.remote, request.scheme, request.host, request.secure, body])

    app.router.add_post("/{place}", show)
    headers = {FOR: "192.0.2.1", PROTO: "https", HOST: "photos.example", "Host": "inside:1"}
    async with TestClient(TestServer(app)) as client, client.post("/x", headers=headers, data="body") as response:
        shown = await response.json()
    as_sent = ["192.0.2.1", "https", "photos.example", True, "body"]
    assert shown == (as_sent if is_trusted else ["127.0.0.1", "http", "inside:1", False, "body"])


async def test_a_cookie_is_secure_and_belongs_to_the_prefix_behind_tls(no_kafka: Settings) -> None:
    chosen = {"trusted_proxies": (ip_network("127.0.0.1"),), "public_url": "https://photos.example/thumbs"}
    async with running_api(no_kafka.model_copy(update=chosen)) as api:
        key = api.client.headers["Authorization"].removeprefix("Bearer ")
        for headers, secure, path in (
            ({FOR: "192.0.2.1", PROTO: "https", HOST: "photos.example"}, True, "/thumbs"),
            ({"Host": "photos.example"}, True, "/thumbs"),
            ({FOR: "192.0.2.1", PROTO: "https", HOST: "other.example"}, True, "/"),
            ({}, "", "/"),
        ):
            async with api.client.post(
                "/session", data={"key": key}, headers=headers, allow_redirects=False
            ) as response:
                assert response.status == 303
                (cookie,) = response.cookies.values()
                assert (cookie["secure"], cookie["path"]) == (secure, path)


async def test_links_are_below_the_public_url(no_kafka: Settings) -> None:
    async with running_api(no_kafka.model_copy(update={"public_url": "https://photos.example/thumbs"})) as api:
        async with api.client.get(api.photos.replace("/photos", "/feed")) as response:
            assert response.status == 426
        async with api.client.ws_connect(api.photos.replace("/photos", "/feed")) as feed:
            assert (await feed.receive_json())["type"] == "hello"
            posted = await api.post()
            messages = [await feed.receive_json()]
            while messages[-1]["type"] != "photo":
                messages.append(await feed.receive_json())
        begin = f"https://photos.example/thumbs{api.photos}/{posted['id']}"
        listed = (await api.get())["items"][0]
        for shown in (posted, messages[-1]["photo"], listed, await api.get(f"/{posted['id']}")):
            assert shown["original_url"].startswith(f"{begin}/original?v=")
        async with api.client.post(f"{api.photos}/{posted['id']}/signed-urls", json={}) as response:
            assert (await response.json())["thumbnails"]["small"]["url"].startswith(
                f"{begin}/thumbnails/small?expires="
            )


def test_each_photo_that_http_shows_has_public_urls() -> None:
    """By how it is built: no handler makes a photo's JSON without the public URL."""
    folder = Path(api.http.__file__).parent
    users = [file.name for file in folder.rglob("*.py") if "import photo_json" in file.read_text()]
    assert users == ["public_urls.py"]
