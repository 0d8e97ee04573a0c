"""The WebSocket: newest frame only, limits, readings that are kept only where the user wants it."""

import contextlib
import json
import socket
import struct
import threading
import time

import httpx
import pytest
from uploads import encoded
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ferkit.live.sample import drawn_clip


@pytest.fixture(scope="module")
def frames():
    return [encoded(frame.image) for frame in drawn_clip(4)]


def frame(number, data):
    return struct.pack(">I", number) + data


def answer(stream):
    """The next message about faces."""
    while True:
        message = json.loads(stream.recv(60))
        if message["type"] in ("faces", "error"):
            return message


def test_faces_come_back_numbered_and_followed(server, frames):
    with connect(server.socket_url) as stream:
        ready = json.loads(stream.recv())
        assert ready["type"] == "ready"
        assert (ready["store"], ready["can_store"], ready["hog"]) == (False, True, False)
        people = set()
        for i, data in enumerate(frames[:8]):
            stream.send(frame(i, data))
            found = answer(stream)
            assert found["seq"] == i
            people |= {face["track"] for face in found["faces"]}
        assert people == {1, 2}
        face = found["faces"][0]
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert "hog" not in face
        stream.send('{"hog": true}')
        stream.send(frame(99, frames[0]))
        assert "values" in answer(stream)["faces"][0]["hog"]


def test_a_slow_server_reads_fewer_frames_never_older_ones(server, frames):
    with connect(server.socket_url) as stream:
        for i in range(60):
            stream.send(frame(i, frames[i % len(frames)]))
        read = []
        while not read or read[-1] < 59:
            found = answer(stream)
            read.append(found["seq"])
        assert read == sorted(set(read))
        assert len(read) < 60
        assert found["dropped"] == 60 - len(read)


def test_nothing_is_kept_until_the_user_says_so(server, frames):
    def count():
        params = {"source": "browser", "limit": 1000, "start": 0}
        return len(httpx.get(server.url + "/api/readings", params=params, timeout=60).json())

    before = count()
    with connect(server.socket_url) as stream:
        stream.send(frame(1, frames[0]))
        answer(stream)
        time.sleep(1.2)
        assert count() == before
        stream.send('{"store": true}')
        for i in range(4):
            stream.send(frame(i, frames[i]))
            answer(stream)
        end = time.monotonic() + 30
        while count() == before and time.monotonic() < end:
            time.sleep(0.1)
        assert 1 <= count() - before <= 4


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (['{"hog": 1}'], "invalid"),
        (["garbage"], "invalid"),
        (["[" * 900], "invalid"),
        ([b"abc"], "too_large"),
        ([bytes(1_000_050)], "too_large"),
        ([frame(i, b"no picture at all") for i in range(10)], "bad_picture"),
    ],
)
def test_garbage_ends_the_stream_with_a_reason(server, messages, code):
    heard = []
    with connect(server.socket_url, max_size=None) as stream:
        json.loads(stream.recv())
        for message in messages:
            stream.send(message)
            heard.append(json.loads(stream.recv(60)))
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(json.loads(stream.recv(60)))
        assert stream.close_code == 1008
    assert heard[-1]["code"] == code


def test_a_bad_frame_among_good_ones_is_said_and_the_stream_goes_on(server, frames):
    with connect(server.socket_url) as stream:
        stream.send(frame(1, b"no picture"))
        assert answer(stream)["error"]["code"] == "bad_picture"
        stream.send(frame(2, frames[0]))
        assert "error" not in answer(stream)


def test_a_silent_stream_ends_and_a_full_server_says_so(strict, frames):
    server = strict
    with connect(server.socket_url) as first, connect(server.socket_url) as second:
        with connect(server.socket_url) as third:
            assert json.loads(third.recv())["code"] == "busy"
            with pytest.raises(ConnectionClosed) as closed:
                third.recv()
            assert closed.value.rcvd.code == 1013
        second.recv()
        with pytest.raises(ConnectionClosed):
            first.recv(60), first.recv(60), first.recv(60)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with connect(server.socket_url) as again:
            if json.loads(again.recv())["type"] == "ready":
                return
        time.sleep(0.1)
    pytest.fail("no place was given back")


def test_a_client_that_stops_reading_and_others_that_send_garbage_stop_nobody(server, frames):
    stop = threading.Event()

    def deaf():
        """Send frames and never read an answer."""
        with connect(server.socket_url, max_queue=1) as stream:
            i = 0
            while not stop.is_set():
                i += 1
                try:
                    stream.send(frame(i, frames[i % len(frames)]))
                except ConnectionClosed:
                    return
                time.sleep(0.02)

    def noisy():
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        while not stop.is_set():
            with socket.create_connection(address, timeout=10) as one:
                one.sendall(b"\x16\x03\x01" + bytes(300))
            time.sleep(0.02)

    threads = [threading.Thread(target=work) for work in (deaf, noisy, noisy)]
    for thread in threads:
        thread.start()
    try:
        with connect(server.socket_url) as stream:
            for i in range(10):
                stream.send(frame(i, frames[i % len(frames)]))
                assert answer(stream)["seq"] == i
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
