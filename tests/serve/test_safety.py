"""Who is let in: hosts, origins, tokens, public mode, limits."""

import re
import socket
import time
from dataclasses import replace

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ferkit.errors import FerkitError, InputError
from ferkit.serve import Limits, Settings
from ferkit.serve.limits import PUBLIC, Rate, Slots, client_of
from ferkit.serve.problems import Problem
from ferkit.serve.run import _message, listening
from ferkit.serve.security import is_known_host, is_same_origin
from ferkit.serve.settings import from_yaml

TOKEN = "correct horse battery"
POST = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nContent-Type: "
POST += b"multipart/form-data; boundary=x\r\n\r\n--x\r\n"


@pytest.fixture(scope="module")
def locked(inside, tmp_path_factory):
    """Reachable from elsewhere, with a token and a name."""
    store = f"sqlite:///{tmp_path_factory.mktemp('locked') / 'r.db'}"
    return inside(host="0.0.0.0", names=("faces.example.org",), store=store, token=TOKEN)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:80", True),
        ("192.168.1.4:8000", True),
        ("faces.example.org", True),
        ("FACES.example.org:443", True),
        ("evil.example.org", False),
        ("localhost.evil.org", False),
        ("127.0.0.1.evil.org", False),
        ("evil.org@localhost", False),
        ("localhost/evil", False),
        ("", False),
        ("a b", False),
        ("localhost:x", False),
        ("[::1", False),
    ],
)
def test_hosts(host, known):
    assert is_known_host(host, ("faces.example.org",)) is known


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://localhost:8000", True),
        ("https://localhost:8000", True),
        ("http://localhost", False),
        ("http://localhost:8001", False),
        ("http://evil.org", False),
        ("null", False),
        ("file://", False),
        ("http://localhost:8000.evil.org", False),
        ("http://evil.org@localhost:8000", False),
    ],
)
def test_origins(origin, same):
    assert is_same_origin(origin, "localhost:8000") is same


def test_a_default_port_may_be_left_out():
    assert is_same_origin("https://faces.example.org", "faces.example.org:443")


@pytest.mark.parametrize("path", ["/", "/api/model", "/healthz", "/static/base.css", "/openapi.json"])
def test_a_foreign_name_gets_nothing(client, path):
    answer = client.get(path, headers={"host": "evil.org"})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.org"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_another_sites_page_gets_nothing(client, headers, photo):
    answer = client.post("/api/predict", files={"file": photo}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.org"}, {"Host": "evil.org"}])
def test_another_sites_page_gets_no_stream(server, headers):
    with pytest.raises(InvalidStatus) as caught, connect(server.socket_url, additional_headers=headers):
        pass
    assert caught.value.response.status_code in (400, 403)


@pytest.mark.parametrize(
    "path", ["/", "/pictures", "/dashboard", "/docs", "/about", "/api/model", "/nothing", "/static/base.css"]
)
def test_every_answer_has_the_strict_headers(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/", "/pictures", "/dashboard", "/docs", "/about"])
def test_pages_hold_no_script_or_style_and_name_nobody_else(client, path):
    page = client.get(path).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_the_token_is_needed_everywhere_but_for_health(locked):
    with locked.client() as client:
        for path in ("/api/model", "/api/readings", "/api/trends", "/openapi.json", "/dashboard"):
            assert client.get(path).status_code == 401, path
            assert client.get(path, headers={"authorization": "Bearer wrong wrong wrong"}).status_code == 401, path
        assert client.get("/api/model").headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").status_code == 200
        assert client.get("/api/model", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/api/model", headers={"cookie": f"ferkit={TOKEN}"}).status_code == 401
    with pytest.raises(InvalidStatus), connect(locked.socket_url):
        pass
    with connect(locked.socket_url, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as stream:
        assert '"ready"' in stream.recv()


def test_a_browser_signs_in_once(locked):
    with locked.client(follow_redirects=True) as client:
        page = client.get("/dashboard", headers={"accept": "text/html"})
        assert page.url.path == "/login"
        assert 'type="password"' in page.text
        wrong = client.post("/login?to=/dashboard", data={"token": "wrong"})
        assert wrong.status_code == 401
        assert "not the token" in wrong.text
        right = client.post("/login?to=/dashboard", data={"token": TOKEN}, follow_redirects=False)
        assert right.headers["location"] == "/dashboard"
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/dashboard").status_code == 200
        assert (
            client.post("/login?to=//evil.org", data={"token": TOKEN}, follow_redirects=False).headers["location"]
            == "/"
        )
        answers = [client.post("/login", data={"token": f"guess {i}"}).status_code for i in range(15)]
        assert answers[-1] == 429


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"host": "0.0.0.0"}, "without a token"),
        ({"host": "192.168.1.4"}, "--public"),
        ({"host": "::"}, "without a token"),
        ({"host": "0.0.0.0", "token": "short"}, "at least 12"),
        ({"public": True, "store": "sqlite:///r.db"}, "recognition only"),
        ({"public": True, "sources": ("0",)}, "recognition only"),
        ({"retention_days": -1}, "more than 0"),
        ({"trusted_proxies": ("caddy",)}, "address or network"),
        ({"token": "pässword enough"}, "no client can send"),
        ({"token": "one two\nthree four"}, "no client can send"),
        ({"token": "   short          "}, "of 5 letters, expected at least 12"),
        ({"host": "0.0.0.0", "token": " \n"}, "without a token"),
        ({"limits": Limits(rate=0)}, "Got limits: rate=0, expected more than 0"),
        ({"limits": Limits(frames_a_second=0.0)}, "Got limits: frames_a_second=0.0"),
        ({"limits": Limits(streams=-3), "public": True}, "Got limits: streams=-3"),
        ({"limits": Limits(idle_s=float("nan"))}, "Got limits: idle_s=nan"),
    ],
)
def test_settings_that_would_open_the_door_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        Settings(**settings).check()


def test_a_token_from_a_file_may_end_in_a_line_break():
    assert Settings(token=f" {TOKEN}\r\n").check() == Settings(token=TOKEN)


def test_settings_come_from_yaml_and_unknown_ones_are_refused(tmp_path):
    path = tmp_path / "serve.yaml"
    path.write_text("store: sqlite:///readings.db\nsources: [0, hall.mp4]\nretention_days: 30\nlimits: {streams: 4}\n")
    given = Settings(**from_yaml(path)).check()
    assert (given.store, given.sources, given.limits) == ("sqlite:///readings.db", ("0", "hall.mp4"), Limits(streams=4))
    path.write_text("store: sqlite:///readings.db\nretention: 30\n")
    with pytest.raises(FerkitError, match=r"line 2: Got key 'retention'.*retention_days"):
        from_yaml(path)


def test_public_limits_stay_where_others_are_given(tmp_path):
    path = tmp_path / "serve.yaml"
    path.write_text("public: true\nlimits: {streams: 8}\n")
    given = Settings(**from_yaml(path)).check()
    assert given.limits == replace(PUBLIC, streams=8)
    assert given.limits.rate is not None
    assert Settings(public=True).check().limits == PUBLIC


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("token: 123456789012", r"line 1: Got token=123456789012, expected a text \(in quotes"),
        ("retention_days: '30'", r"Got retention_days='30', expected a number\."),
        ("port: http", r"Got port='http', expected a whole number\."),
        ("port: true", r"Got port=True, expected a whole number\."),
        ("public: 1", r"Got public=1, expected true or false\."),
        ("store: 5", r"Got store=5, expected a text"),
        ("limits: {rate: fast}", r"Got rate='fast', expected a number\."),
    ],
)
def test_values_of_another_kind_are_named(tmp_path, line, said):
    path = tmp_path / "serve.yaml"
    path.write_text(line + "\n")
    with pytest.raises(FerkitError, match=said):
        from_yaml(path)


def test_empty_keys_are_what_they_are_without(tmp_path):
    path = tmp_path / "serve.yaml"
    path.write_text("names:\ntoken:\nretention_days: 2\n")
    assert Settings(**from_yaml(path)).check() == Settings(retention_days=2)


def test_a_password_of_a_camera_is_not_said():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = _message(Settings(sources=("rtsp://admin:hunter2@cam/1?key=abc", "0")), listener)
    assert "hunter2" not in said
    assert "abc" not in said
    assert "watching" in said


def test_an_origin_that_is_no_address_is_refused(client):
    answer = client.post("/api/predict", files={"file": b"x"}, headers={"Origin": "http://["})
    assert answer.status_code == 403


def test_public_mode_has_no_readings_and_limits_each_client(inside, photo):
    server = inside(public=True, host="0.0.0.0")
    assert "recognition only" in server.said
    with server.client() as client:
        for path in ("/api/readings", "/api/trends", "/api/trends.csv", "/api/sources", "/dashboard"):
            assert client.get(path).status_code == 404, path
        answers = [client.post("/api/predict", files={"file": b"x"}) for _ in range(40)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        time.sleep(1)
        assert client.post("/api/predict", files={"file": photo}).status_code == 200
        assert client.get("/api/model").json()["stores"] is False
    with connect(server.socket_url) as stream:
        stream.send('{"store": true}')
        assert '"store": false' in stream.recv()
        assert '"store": false' in stream.recv()


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(FerkitError, match="expected a free port"):
        listening("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(FerkitError, match="address of this machine"):
        listening("no such host", 80)


def test_a_client_of_five_hundred_silent_connections_stops_nobody_else(server, client, photo):
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    silent = [socket.create_connection(address, 20, source_address=("127.0.0.2", 0)) for _ in range(500)]
    try:
        assert client.get("/healthz").status_code == 200
        assert client.post("/api/predict", files={"file": photo}).status_code == 200
        with connect(server.socket_url) as stream:
            assert '"ready"' in stream.recv()
        assert sum(ended(one, 0.001) for one in silent) >= 300 - 1
    finally:
        for one in silent:
            one.close()


def test_a_request_that_does_not_come_in_is_ended(strict):
    server = strict
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        assert slow.recv(100) == b""
    with socket.create_connection(address, timeout=20) as slow:
        slow.sendall(POST)
        assert b" 408 " in slow.recv(1000)
    with socket.create_connection(address, timeout=20) as slow:  # also after a request that was answered
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in slow.recv(10_000)
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        while slow.recv(10_000):  # the rest of the first answer, then the end; else this times out
            pass
    many = [socket.create_connection(address, timeout=20) for _ in range(25)]
    assert sum(ended(one) for one in many) >= 5
    for one in many:
        one.close()
    time.sleep(0.3)
    assert httpx.get(server.url + "/healthz", timeout=30).status_code == 200


def ended(connection, patience=0.5):
    connection.settimeout(patience)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_rates_fill_again_and_places_are_given_back():
    now = [0.0]
    rate = Rate(2.0, 2, clock=lambda: now[0])
    assert [rate.wait("a") > 0 for _ in range(3)] == [False, False, True]
    assert rate.wait("b") == 0
    now[0] = 0.5
    assert rate.wait("a") == 0
    slots = Slots(2, 1)
    with slots.place("a", "streams"):
        with pytest.raises(Problem, match="of one client"), slots.place("a", "streams"):
            pass
        with slots.place("b", "streams"), pytest.raises(Problem, match="more than 2"), slots.place("c", "streams"):
            pass
    assert slots.used == 0


def test_clients_of_one_ipv6_network_are_one():
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff") != client_of("2001:db9::1")
    assert client_of("::ffff:10.0.0.1") == "10.0.0.1"
