"""What the API answers, to a real client."""

import base64
import json
import time

import cv2
import numpy as np
import pytest
from uploads import encoded

from ferkit import store
from ferkit.live.sample import drawn_clip
from ferkit.serve import Settings, create_app, video_job


def test_a_picture_gives_faces_with_labels_and_probabilities(client, photo):
    answer = client.post("/api/predict", files={"file": ("a.jpg", photo, "image/jpeg")})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["width"], body["height"], body["model"]) == (512, 512, "default")
    [face] = body["faces"]
    x1, y1, x2, y2 = face["box"]
    assert 140 < x1 < 200 < 250 < x2 < 310
    assert 40 < y1 < 80 < 150 < y2 < 200
    assert face["label"] == "happiness"
    assert face["sure"] is True
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert face["hog"] is None


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/api/model", "/static/base.css", "/nothing"])
def test_programs_that_ask_for_the_head_alone_get_it(client, path):
    whole, head = client.get(path), client.head(path)
    assert head.status_code == whole.status_code
    assert head.content == b""
    kept = ("content-type", "content-length", "content-security-policy")
    assert [head.headers.get(name) for name in kept] == [whole.headers.get(name) for name in kept]
    assert client.get("/healthz").json()["status"] == "ok"  # the connection is still in step


def test_oriented_gradients_come_where_they_are_asked_for(client, photo):
    answer = client.post("/api/predict", files={"file": photo}, data={"hog": "true"}).json()
    hog = answer["faces"][0]["hog"]
    values = base64.b64decode(hog["values"])
    assert len(values) == hog["rows"] * hog["columns"] * hog["directions"]
    assert max(values) == 255


def test_why_a_face_got_its_label(client, photo):
    answer = client.post("/api/explain", files={"file": photo}, data={"against": "sadness", "picture": "true"})
    why = answer.json()
    assert (why["label"], why["against"], why["model"]) == ("happiness", "sadness", "default")
    for label, said in why["log_odds"].items():
        parts = [values[label] for values in why["contributions"].values()]
        assert why["bias"][label] + sum(parts) == pytest.approx(said, abs=1e-6)
    assert np.shape(why["map"]) == np.shape(why["occlusion"]) == (48, 48)
    assert base64.b64decode(why["picture"]).startswith(b"\x89PNG")
    [face] = client.post("/api/predict", files={"file": photo}).json()["faces"]
    assert face["box"] == why["box"]
    assert face["probabilities"] == pytest.approx(why["probabilities"], abs=1e-4)


@pytest.mark.parametrize(
    ("asked", "code"), [({"face": "1"}, "no_such_face"), ({"label": "joy"}, "invalid"), ({"face": "-1"}, "invalid")]
)
def test_questions_without_an_answer(client, photo, asked, code):
    answer = client.post("/api/explain", files={"file": photo}, data=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_picture_without_a_face_gives_none(client):
    answer = client.post("/api/predict", files={"file": encoded(np.full((120, 160, 3), 90, np.uint8), "PNG")})
    assert answer.json()["faces"] == []


def test_what_the_command_reads_is_what_the_api_reads(client, photo):
    from ferkit import Predictor
    from ferkit.sources import read_image

    [reading] = Predictor().read(read_image(photo))
    [face] = client.post("/api/predict", files={"file": photo}).json()["faces"]
    assert face["probabilities"] == pytest.approx(reading.probabilities, abs=2e-3)


def test_the_model_is_described(client):
    about = client.get("/api/model").json()
    assert about["labels"][0] == "anger"
    assert set(about["colours"]) == set(about["labels"])
    assert 0.6 < about["accuracy"] < 0.8
    assert about["stores"] is True
    assert about["public"] is False


def test_health_and_readiness(client):
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json()["status"] == "ok"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/predict", 405, "method_not_allowed"),
        ("POST", "/api/predict", 422, "invalid"),
        ("GET", "/api/trends?step=year", 422, "invalid"),
        ("GET", "/api/trends?start=5&end=1", 422, "invalid"),
        ("GET", "/api/trends?zone=Mars/Base", 422, "invalid"),
        ("GET", "/api/trends?zone=../../etc/passwd", 422, "invalid"),
        ("GET", "/api/trends?start=0&end=9999999999&step=minute", 422, "invalid"),
        ("GET", "/api/videos/none", 404, "not_found"),
        ("GET", "/static/../settings.py", 404, "not_found"),
        ("GET", "/static/%2e%2e/settings.py", 404, "not_found"),
    ],
)
def test_errors_have_a_code_and_a_sentence(client, method, path, status, code):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["detail"].endswith(".")


def test_every_operation_is_described_with_its_errors(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/predict", "/api/readings", "/api/trends", "/api/model", "/healthz", "/readyz"} <= set(paths)
    for path, verbs in paths.items():
        for operation in verbs.values():
            assert operation["description"], path
            assert any(status.startswith("2") for status in operation["responses"]), path


def test_public_mode_offers_recognition_only():
    paths = create_app(Settings(public=True)).openapi()["paths"]
    assert "/api/predict" in paths
    assert not [path for path in paths if "readings" in path or "trends" in path or "sources" in path]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A second of two drawn people."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (640, 480))
    for frame in drawn_clip(4):
        writer.write(frame.image[..., ::-1])
    writer.release()
    return path


def test_videos_are_read_in_the_background_and_are_webm(client, clip):
    video = client.post("/api/videos", files={"file": ("../../etc/x.avi", clip.read_bytes())}).json()
    video = finished(client, video)
    assert (video["state"], video["frames"], video["people"]) == ("done", 20, 2)
    assert set(video["shown"]) == {"1", "2"}
    webm = client.get(video["results"]["annotated.webm"])
    assert webm.headers["content-type"] == "video/webm"
    assert webm.content.startswith(b"\x1aE\xdf\xa3")
    rows = client.get(video["results"]["readings.csv"]).text.splitlines()
    assert rows[0].startswith("source,frame,time,face,")
    assert len(rows) > 20
    assert rows[1].startswith("upload,0,")
    assert client.get(f"/api/videos/{video['id']}/in").status_code == 404
    assert client.delete(f"/api/videos/{video['id']}").status_code == 200
    assert client.get(f"/api/videos/{video['id']}").status_code == 404


def test_a_video_that_is_too_long_is_cut_and_said(clip, tmp_path, capsys):
    video_job.read(clip, tmp_path, str(store.default_path()), 0.2)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"cut": True, "seconds": 0.25} in said
    assert said[-1]["frames"] in (5, 6)
    assert (tmp_path / "annotated.webm").stat().st_size > 1000
    assert len((tmp_path / "readings.csv").read_text().splitlines()) > 4


def test_of_a_video_that_breaks_off_the_rows_are_kept_and_it_is_said(clip, tmp_path, capsys):
    upload = tmp_path / "in"
    upload.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    video_job.read(upload, tmp_path, str(store.default_path()), 60.0)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (broken,) = [words for words in said if "reason" in words]
    assert broken["cut"] is True
    assert 0.2 < broken["seconds"] < 0.7
    assert f"Got video='upload' that ends after frame {said[-1]['frames']} of 20" in broken["reason"]
    assert (tmp_path / "annotated.webm").stat().st_size > 1000
    assert len((tmp_path / "readings.csv").read_text().splitlines()) > said[-1]["frames"]


def finished(client, video):
    until = time.monotonic() + 120
    while video["state"] in ("waiting", "reading") and time.monotonic() < until:
        time.sleep(0.2)
        video = client.get(f"/api/videos/{video['id']}").json()
    return video


def test_a_video_can_be_cancelled_and_a_damaged_one_fails_alone(client):
    damaged = client.post("/api/videos", files={"file": b"RIFF\x00\x00\x00\x00AVI LIST" + bytes(4000)}).json()
    other = client.post("/api/videos", files={"file": b"\x00\x00\x00\x18ftypisom" + bytes(4000)}).json()
    assert client.delete(f"/api/videos/{other['id']}").json()["state"] == "cancelled"
    damaged = finished(client, damaged)
    assert damaged["state"] == "failed"
    assert "expected" in damaged["reason"]
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("start_", ["#EXTM3U\nfile:///etc/passwd", "ffconcat version 1.0\nfile /etc/passwd", "<html>"])
def test_playlists_that_name_other_files_are_no_videos(client, start_):
    answer = client.post("/api/videos", files={"file": ("clip.mp4", start_.encode())})
    assert (answer.status_code, answer.json()["code"]) == (415, "bad_video")


def test_the_description_is_json_that_anybody_can_read(client):
    assert json.loads(client.get("/openapi.json").text)["info"]["title"] == "ferkit"
