"""Readings: the journal that writes them, the store that adds them up, the API, the watched sources."""

import asyncio
import csv
import io
import signal
import sqlite3
import time
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest

import ferkit
from ferkit import store as store_file
from ferkit.errors import FerkitError
from ferkit.live import LiveReading
from ferkit.live.sample import drawn_clip
from ferkit.records import Reading
from ferkit.serve import create_app, trends
from ferkit.serve.journal import Journal
from ferkit.serve.problems import Problem
from ferkit.serve.readings import PostedReading, Sampler, columns, posted_rows
from ferkit.serve.sources import Watcher, shown_names
from ferkit.serve.trends import Query, ReadingStore, offsets
from ferkit.sources import sample_video

LABELS = ["anger", "happiness", "neutral"]
NOON = datetime(2025, 6, 2, 12, tzinfo=UTC).timestamp()


class Broken:
    """A store that fails until it is mended."""

    def __init__(self):
        self.rows, self.works = [], False

    def extend(self, rows):
        if not self.works:
            raise FerkitError("Got a full disk, expected room.")
        self.rows += list(rows)


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def row(at, label="happiness", source="entrance", person=1):
    return {"at": at, "label": label, "source": source, "person": person, "confidence": 0.9}


@pytest.fixture
def store(tmp_path):
    store = ReadingStore(f"sqlite:///{tmp_path / 'r.db'}", columns(LABELS))
    yield store
    store.close()


def test_a_store_that_fails_for_a_while_loses_nothing():
    broken = Broken()
    journal = Journal(broken, every=0.01)
    journal.start()
    journal.add([row(i) for i in range(10)])
    until(lambda: journal.status().failing)
    journal.add([row(i) for i in range(10, 20)])
    assert journal.status().waiting == 20
    assert "full disk" in journal.status().failing
    broken.works = True
    until(lambda: journal.status().written == 20)
    journal.close()
    assert [one["at"] for one in broken.rows] == list(range(20))
    assert journal.status() == type(journal.status())(20, 0, 0, None)


def test_beyond_the_buffer_the_oldest_are_lost_counted_and_said(caplog):
    broken = Broken()
    journal = Journal(broken, capacity=50, every=0.01)
    journal.start()
    for i in range(8):
        journal.add([row(10 * i + k) for k in range(10)])
    until(lambda: journal.status().lost == 30 and journal.status().failing)
    assert journal.status().waiting == 50
    assert "the oldest readings are being lost" in caplog.text
    broken.works = True
    until(lambda: journal.status().written == 50)
    journal.close()
    assert [one["at"] for one in broken.rows] == list(range(30, 80))
    assert "30 were lost" in caplog.text


def test_readings_that_cannot_be_deleted_are_said_once_and_writing_goes_on(caplog):
    broken, tries = Broken(), []
    broken.works = True

    def tidy():
        tries.append(1)
        raise RuntimeError("the driver's own\nerror")

    journal = Journal(broken, every=0.01, tidy=tidy)
    journal.start()
    until(lambda: tries)
    journal.add([row(1)])
    until(lambda: journal.status().written == 1)
    time.sleep(0.1)
    journal.close()
    assert len(tries) == 1
    assert [record.message for record in caplog.records] == [
        "Old readings could not be deleted: the driver's own error"
    ]


def test_the_end_writes_what_waits():
    broken = Broken()
    broken.works = True
    journal = Journal(broken, every=60)
    journal.start()
    journal.add([row(1)])
    journal.close()
    assert len(broken.rows) == 1


def test_a_locked_database_is_waited_for(tmp_path):
    path = tmp_path / "r.db"
    store = ReadingStore(f"sqlite:///{path}", columns(LABELS))
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    journal = Journal(store, every=0.01)
    journal.start()
    journal.add([row(NOON)])
    until(lambda: journal.status().failing)
    assert journal.status().written == 0
    other.rollback()
    other.close()
    until(lambda: journal.status().written == 1)
    journal.close()
    store.close()


def test_a_killed_server_loses_at_most_the_last_second(start, tmp_path):
    server = start("--store", f"sqlite:///{tmp_path / 'r.db'}")
    posted = []
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for i in range(30):
            client.post("/api/readings", json=[{"source": "door", "label": "neutral", "person": i}]).raise_for_status()
            posted.append(time.monotonic())
            time.sleep(0.1)
    killed = time.monotonic()
    server.stop(signal.SIGKILL)
    kept = set(ferkit.read_readings(tmp_path / "r.db").person)
    safe = {i for i, when in enumerate(posted) if when < killed - 1}
    assert len(safe) > 10
    assert safe <= kept


def test_trends_agree_with_counting_by_hand(store):
    rng = np.random.default_rng(0)
    rows = [
        row(NOON + float(rng.uniform(0, 3 * 3600)), rng.choice([*LABELS, "not sure"]), rng.choice(["a", "b"]), i // 7)
        for i in range(2000)
    ]
    store.extend(rows)
    found = store.trends(Query(NOON, NOON + 3 * 3600, "hour"))
    frame = ferkit.read_readings(store.name)
    assert found.total.n == 2000
    assert found.total.smiles == pytest.approx((frame.label == "happiness").mean(), abs=1e-3)
    assert found.total.not_sure == pytest.approx((frame.label == "not sure").mean(), abs=1e-3)
    assert [group.start for group in found.groups] == [NOON, NOON + 3600, NOON + 7200]
    for group in found.groups:
        inside = frame[(frame["at"] >= group.start) & (frame["at"] < group.start + 3600)]
        assert group.n == len(inside)
        assert group.people == inside.person.nunique()
        assert group.counts == {label: int((inside.label == label).sum()) for label in found.labels}
    for camera in found.cameras:
        inside = frame[frame.source == camera.source]
        assert (camera.n, camera.people) == (len(inside), inside.person.nunique())
    only = store.trends(Query(NOON, NOON + 3 * 3600, "hour", sources=("a",)))
    assert only.total.n == (frame.source == "a").sum()


def test_groups_under_ten_are_hidden(store):
    store.extend([row(NOON + i) for i in range(9)] + [row(NOON + 3600 + i, source="b") for i in range(10)])
    found = store.trends(Query(NOON, NOON + 7200, "hour"))
    assert [group.hidden for group in found.groups] == [True, False]
    assert [(camera.source, camera.hidden) for camera in found.cameras] == [("b", False), ("entrance", True)]
    assert found.hidden == 2
    hidden = found.groups[0].model_dump(exclude={"start", "source", "hidden"})
    assert set(hidden.values()) == {None}


def test_days_begin_at_midnight_of_the_zone_also_where_clocks_change(store):
    change = datetime(2025, 3, 30, 1, tzinfo=UTC).timestamp()  # Berlin: UTC+1 before, UTC+2 after
    store.extend([row(change + 3600 * hour) for hour in range(-36, 36) for _ in range(10)])
    found = store.trends(Query(change - 40 * 3600, change + 40 * 3600, "day", "Europe/Berlin"))
    starts = [datetime.fromtimestamp(group.start, UTC).hour for group in found.groups]
    assert starts == [23, 23, 23, 22]
    assert [group.n for group in found.groups] == [100, 240, 230, 150]
    assert offsets(change - 10, change + 10, "Europe/Berlin") == [(change, 3600), (change + 10, 7200)]
    with pytest.raises(Problem):
        offsets(0, 10, "Nowhere/Land")


def test_utc_needs_no_files_of_zones(monkeypatch):
    def missing(name):
        raise trends.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(trends, "ZoneInfo", missing)
    assert offsets(NOON, NOON + 3600, "UTC") == [(NOON + 3600, 0)]
    with pytest.raises(Problem, match="Europe/Berlin"):
        offsets(NOON, NOON + 3600, "Europe/Paris")


def test_the_two_hours_of_one_name_stay_two(store):
    change = datetime(2025, 10, 26, 1, tzinfo=UTC).timestamp()  # Berlin: 02:00 to 03:00 comes twice
    store.extend([row(change + 3600 * hour + 60) for hour in range(-2, 3) for _ in range(10 + hour)])
    found = store.trends(Query(change - 3 * 3600, change + 4 * 3600, "hour", "Europe/Berlin"))
    assert [(group.start - change) / 3600 for group in found.groups] == [-2, -1, 0, 1, 2]
    india = store.trends(Query(change - 3 * 3600, change + 4 * 3600, "hour", "Asia/Kolkata"))
    assert {group.start % 3600 for group in india.groups} == {1800}


def test_all_rows_come_once_whatever_the_page(store):
    moments = [NOON, *[NOON + 1.5] * 5, NOON + 2, *[NOON + 3] * 2]
    store.extend([row(at) for at in moments])
    query = Query(NOON - 10, NOON + 10)
    for at_once in (1, 2, 3, 4, 5, 9, 10, 1000):
        assert [one["at"] for one in store.all_rows(query, at_once)] == moments
    pages = store.all_rows(query, 3)
    first = next(pages)["at"]
    store.extend([row(NOON - 5)])
    assert [first, *(one["at"] for one in pages)] == moments
    assert list(store.all_rows(Query(0, 10))) == []


def test_readings_older_than_the_retention_are_deleted(tmp_path):
    store = ReadingStore(f"sqlite:///{tmp_path / 'r.db'}", columns(LABELS), retention_days=2)
    now = time.time()
    store.extend([row(now - 3 * 86400), row(now - 86400)])
    assert store.forget() == 1
    assert len(store.rows(Query(0, now + 1))) == 1
    store.close()


def test_the_store_of_an_older_run_with_other_labels_is_gone_on_with(tmp_path):
    target = f"sqlite:///{tmp_path / 'r.db'}"
    for labels in (["bored"], LABELS):
        store = ReadingStore(target, columns(labels))
        store.extend([row(NOON)])
        store.close()
    assert {"bored", "happiness"} <= set(ferkit.read_readings(target).columns)


def test_readings_hold_no_pictures(store):
    names = {column.name for column in store._table.columns}
    assert names == {
        "at",
        "person",
        "source",
        "frame",
        "time",
        "face",
        "x1",
        "y1",
        "x2",
        "y2",
        "label",
        "confidence",
    } | set(LABELS)


def test_posted_readings_come_back_and_wrong_ones_are_refused(client):
    now = time.time()
    good = {
        "source": "=cmd()",
        "label": "happiness",
        "confidence": 0.8,
        "at": now - 5,
        "probabilities": {"happiness": 0.8},
    }
    assert client.post("/api/readings", json=[good] * 12).json() == {"accepted": 12}
    words = {"source": "=cmd()", "start": now - 60, "end": now + 60}
    until(lambda: len(client.get("/api/readings", params=words).json()) == 12)
    assert client.get("/api/readings", params=words).json()[0]["happiness"] == 0.8
    assert client.get("/api/trends", params=words).json()["total"]["smiles"] == 1
    table = list(csv.DictReader(io.StringIO(client.get("/api/readings.csv", params=words).text)))
    assert len(table) == 12
    assert table[0]["source"] == "'=cmd()"
    trends = client.get("/api/trends.csv", params=words).text.splitlines()
    assert trends[0].startswith("start,time,n,people,smiles,not_sure")
    for wrong in (
        {"label": "x"},
        good | {"at": now + 1e7},
        good | {"confidence": 2},
        good | {"probabilities": {"drop table": 1}},
        good | {"probabilities": {"happiness": 3}},
        good | {"picture": "AAAA"},
        good | {"person": 2**70},
        good | {"source": "x" * 300},
    ):
        assert client.post("/api/readings", json=[wrong]).status_code == 422, wrong
    assert client.post("/api/readings", json=[good] * 1001).status_code == 422
    nasty = client.get("/api/trends", params={"source": "'; DROP TABLE readings; --"})
    assert nasty.json()["total"]["hidden"] is True


def test_posted_labels_may_be_spelled_as_data_sets_spell_them():
    def kept(label, labels=("happiness", "neutral")):
        (row,) = posted_rows([PostedReading(source="door", label=label)], list(labels))
        return row["label"]

    assert [kept(label) for label in ("happy", "Happiness", "happiness")] == ["happiness"] * 3
    assert [kept(label) for label in ("not sure", "bored")] == ["not sure", "bored"]
    assert kept("happy", ("happy", "sad")) == "happy"  # the model's own name for it


def test_the_sampler_keeps_one_row_a_second_and_person():
    from ferkit.live import LivePredictor

    predictor, sampler = LivePredictor(), Sampler("hall")
    frames = list(drawn_clip(8))[:31]
    rows = [row for i, frame in enumerate(frames) for row in sampler.rows(predictor.read(frame), 100 + i / 20)]
    assert len(rows) == 4
    assert len({row["person"] for row in rows}) == 2
    assert {row["source"] for row in rows} == {"hall"}
    assert set(rows[0]) == set(columns(predictor.labels))


def test_a_person_who_flickers_has_one_row_a_second_too():
    sampler = Sampler("hall")
    probabilities = {"happiness": 0.9, "fear": 0.1}
    reading = Reading("0", 0, 0.0, 0, (0, 0, 9, 9), "happiness", 0.9, probabilities)
    face = LiveReading(reading, 1, "happiness", probabilities, True, np.zeros((48, 48), np.uint8))
    frames = [[face] if i % 2 else [] for i in range(60)]
    rows = [row for i, faces in enumerate(frames) for row in sampler.rows(faces, 100 + i / 30)]
    assert len(rows) == 2
    sampler.rows([], 200)
    assert not sampler._last


def test_people_have_other_numbers_after_a_camera_comes_back(tmp_path):
    kept = []
    watcher = Watcher("sample", store_file.load(store_file.default_path()), kept.extend)
    for _ in range(2):
        watcher._look()
    people = [row["person"] for row in kept]
    assert len(set(people)) == 4
    watcher.stop()


def test_two_cameras_keep_two_names(tmp_path):
    assert shown_names(["a/cam.mp4", "b/cam.mp4", "c/cam.mp4 (2)", "b/cam.mp4"]) == [
        "cam.mp4",
        "cam.mp4 (2)",
        "cam.mp4 (2) (2)",
        "cam.mp4 (3)",
    ]
    kept = []
    sample_video(tmp_path / "hall.avi", ["happiness"], frames_each=2)
    model = store_file.load(store_file.default_path())
    watcher = Watcher(str(tmp_path / "hall.avi"), model, kept.extend, shown="hall (2)")
    watcher._look()
    assert {row["source"] for row in kept} == {watcher.state.source} == {"hall (2)"}


def test_a_source_that_fails_is_said_and_tried_again(tmp_path):
    kept = []
    watcher = Watcher(str(tmp_path / "gone.mp4"), None, kept.extend, pause=0.05)
    watcher.start()
    until(lambda: watcher.state.state == "failed")
    assert "does not exist" in watcher.state.reason
    assert str(tmp_path) not in watcher.state.source
    watcher.stop()
    watcher.join(20)
    assert not watcher.is_alive()
    assert kept == []


def test_what_a_camera_says_keeps_its_numbers():
    watcher = Watcher("0", None, lambda rows: None)
    watcher._tell("Got no frame from '0' for 10 s, expected one.")
    assert watcher.state.reason == "Got no frame from '0' for 10 s, expected one."
    watcher = Watcher("rtsp://me:secret@cam/1", None, lambda rows: None)
    watcher._tell("Got the end of 'rtsp://me:secret@cam/1' after frame 1.")
    assert watcher.state.reason == "Got the end of 'rtsp://cam/1' after frame 1."


def test_a_file_that_breaks_off_is_not_read_twice(tmp_path, caplog):
    path = tmp_path / "part.avi"
    sample_video(path, ["neutral"], frames_each=12, fps=10, size=128)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    watcher = Watcher(str(path), store_file.load(store_file.default_path()), lambda rows: None, pause=60)
    watcher.run()
    assert watcher.state.state == "ended"
    assert "of 12, expected all of them" in watcher.state.reason
    assert str(tmp_path) not in watcher.state.reason + caplog.text


def test_a_watched_source_fills_the_store_and_ctrl_c_ends_all(start, tmp_path):
    server = start("--source", "sample", "--store", f"sqlite:///{tmp_path / 'r.db'}")
    assert "watching sample, readings are kept" in server.said
    with httpx.Client(base_url=server.url, timeout=60) as client:
        until(lambda: client.get("/api/sources").json()["store"]["written"] >= 2, 60)
        found = client.get("/api/sources").json()
    assert found["sources"][0]["source"] == "sample"
    assert found["sources"][0]["state"] in ("watching", "ended")
    assert server.stop(signal.SIGINT) == 0
    assert server.process.stderr.read() == ""
    assert "stopped" in server.process.stdout.read()
    frame = ferkit.read_readings(tmp_path / "r.db")
    assert set(frame.source) == {"sample"}
    assert frame.person.nunique() == 2


def test_without_a_store_the_api_says_how_to_have_one():
    async def ask():
        app = create_app()
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")
        async with app.router.lifespan_context(app), client:
            return await client.get("/api/trends"), await client.get("/api/sources")

    trends, sources = asyncio.run(ask())
    assert (trends.status_code, trends.json()["code"]) == (404, "no_store")
    assert "--store" in trends.json()["detail"]
    assert sources.json() == {"sources": [], "store": None}
