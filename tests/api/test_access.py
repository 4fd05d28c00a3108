"""Who gets in: tokens and scopes, hosts, rates, TLS. Nobody else learns anything."""

import asyncio
import ssl
import subprocess
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from hal9.api.place import served_at
from hal9.api.problems import MEDIA_TYPE
from hal9.api.server import ENDPOINTS, ApiServer
from hal9.api.tokens import SCOPES, TokenStore
from hal9.clock import SystemClock
from hal9.cluster import Home
from hal9.errors.api import ApiRunning, PlaintextRefused, TlsUnusable, TokenNameTaken, TokenUnknown
from tests.api.conftest import Served
from tests.conftest import edit_settings


def path_of(path: str) -> str:
    return path.replace("{id}", "last").replace("{", "").replace("}", "")


async def test_without_the_right_token_nothing_is_told(served: Served) -> None:
    await served.cluster.submit("a secret objective")
    store = served.server.services.tokens
    tokens = {
        "missing": "",
        "wrong": store.create("w", SCOPES)[1][:-4] + "aaaa",
        "revoked": store.create("r", SCOPES)[1],
        "expired": store.create("e", SCOPES, lifetime_seconds=-1.0)[1],
    }
    store.revoke("r")
    guarded = [one for one in ENDPOINTS if one.scope is not None]
    assert len(guarded) > 10
    async with served.client() as http:
        for endpoint, kind in ((one, kind) for one in guarded for kind in (*tokens, "unscoped")):
            others = tuple(one for one in SCOPES if one not in (endpoint.scope, "admin"))
            text = (
                served.token(*others, name=endpoint.path + endpoint.method)
                if kind == "unscoped"
                else tokens[kind]
            )
            headers = {"Authorization": f"Bearer {text}"} if text else {}
            # A fresh address each time would be a fresh bucket; here one stranger may not ask too often.
            served.server.services._strangers._buckets.clear()
            answer = await http.request(endpoint.method, path_of(endpoint.path), headers=headers)
            assert answer.status_code == (403 if kind == "unscoped" else 401), (endpoint.path, answer.text)
            assert answer.headers["content-type"] == MEDIA_TYPE
            assert "secret objective" not in answer.text
            if kind != "unscoped":
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.json()["detail"].startswith("this needs a valid token")


async def test_every_answer_says_when_it_was_given(served: Served) -> None:
    async with served.client() as stranger:
        for http, path in ((served.http, "/v1/tasks"), (stranger, "/v1/tasks"), (stranger, "/nowhere")):
            before = int(time.time())
            answer = await http.get(path)
            assert before <= parsedate_to_datetime(answer.headers["date"]).timestamp() <= time.time()
            assert len(answer.headers.get_list("date")) == 1


async def test_a_revoked_token_ends_at_once_also_when_another_process_revokes_it(served: Served) -> None:
    text = served.token("read", name="short")
    async with served.client(text) as http:
        assert (await http.get("/v1/status")).status_code == 200
        with TokenStore(served.home.state / "api.db", clock=SystemClock()) as other:
            other.revoke("short")
            with pytest.raises(TokenUnknown):
                other.revoke("short")
        assert (await http.get("/v1/status")).status_code == 401


def test_tokens_are_stored_as_hashes_only(home: Home) -> None:
    home.make_state()
    with TokenStore(home.state / "api.db", clock=SystemClock()) as store:
        _, text = store.create("a", ("read",))
        assert store.check(text) is not None
        with pytest.raises(TokenNameTaken):
            store.create("a", ("read",))
    secret = text.rpartition("_")[2].encode()
    for path in home.state.glob("api.db*"):
        assert secret not in path.read_bytes()
    assert (home.state / "api.db").stat().st_mode & 0o077 == 0


async def test_a_page_that_points_its_name_here_is_refused(served: Served) -> None:
    async with served.client(served.token("read", name="x")) as http:
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
            answer = await http.get("/v1/status", headers={"Host": host})
            assert answer.status_code in (400, 421), host
        assert (await http.get("/v1/status", headers={"Host": "localhost:1"})).status_code == 200


async def test_strangers_and_busy_clients_are_slowed_down(home: Home) -> None:
    edit_settings(home, "requests_per_minute: 6000", "requests_per_minute: 60")
    async with ApiServer(home) as server:
        text = server.services.tokens.create("a", ("read",))[1]
        async with httpx.AsyncClient(base_url=server.url, timeout=60.0) as http:
            # The allowance fills up again as time passes, so a slow machine needs more requests to use it up.
            codes = [(await http.get("/v1/status")).status_code]
            while codes[-1] != 429:
                codes.append((await http.get("/v1/status")).status_code)
                assert len(codes) < 500, "nobody was slowed down"
            assert set(codes[:-1]) == {401}
            http.headers["Authorization"] = f"Bearer {text}"
            answers = [await http.get("/v1/token")]
            assert answers[0].status_code == 200, "a good token does not suffer for strangers"
            while answers[-1].status_code != 429:
                answers.append(await http.get("/v1/token"))
                assert len(answers) < 500, "nobody was slowed down"
            assert int(answers[-1].headers["retry-after"]) >= 1


async def test_one_server_per_home_and_where_it_is(home: Home) -> None:
    assert served_at(home) is None
    async with ApiServer(home) as server:
        assert served_at(home) == server.url
        with pytest.raises(ApiRunning) as caught:
            async with ApiServer(home):
                pass
        assert server.url in str(caught.value)
    assert served_at(home) is None


async def test_off_loopback_only_with_tls_or_by_word(home: Home, tmp_path: Path) -> None:
    edit_settings(home, "host: 127.0.0.1", "host: 0.0.0.0")
    with pytest.raises(PlaintextRefused):
        async with ApiServer(home):
            pass
    edit_settings(home, "tls_certificate: null", f"tls_certificate: {tmp_path}/cert.pem")
    with pytest.raises(TlsUnusable):
        async with ApiServer(home):
            pass
    edit_settings(home, "tls_key: null", f"tls_key: {tmp_path}/key.pem")
    with pytest.raises(TlsUnusable):
        async with ApiServer(home):
            pass
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    async with ApiServer(home) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        port = server.url.rpartition(":")[2]
        async with httpx.AsyncClient(verify=context, timeout=60.0) as http:
            assert (await http.get(f"https://localhost:{port}/healthz")).json()["status"] == "ok"


async def test_streams_are_bounded_and_given_back(home: Home) -> None:
    edit_settings(home, "max_streams: 2000", "max_streams: 2")
    async with ApiServer(home) as server:
        text = server.services.tokens.create("a", ("read",))[1]
        headers = {"Authorization": f"Bearer {text}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60.0) as http:
            async with http.stream("GET", "/v1/events") as one, http.stream("GET", "/v1/events") as two:
                assert (one.status_code, two.status_code) == (200, 200)
                third = await http.get("/v1/events")
                assert (third.status_code, third.json()["error"]) == (503, "api.StreamsExhausted")
            async with asyncio.timeout(120):
                while server.services.hub.listeners:
                    await asyncio.sleep(0.01)
