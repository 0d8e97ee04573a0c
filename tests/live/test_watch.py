"""The loop as a whole: what it gives for each frame, how quickly a label follows the face, what it adds up."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from clips import FPS, clip, endless, face

from ferkit.errors import InputError, PictureError
from ferkit.faces import FaceDetector
from ferkit.live import NOT_SURE, LivePredictor, Summary, Watch, columns, watch
from ferkit.live.summary import OTHERS, Quantiles, Timeline
from ferkit.records import Frame

VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"
CHANGE = 36


@pytest.fixture(scope="module")
def changing(model):
    """A face that smiles from one known frame on, beside one that does not, and none in the last frames."""
    before, after, other = face(1, "surprise"), face(1, "happiness"), face(7)

    def places(i):
        if i >= 72:
            return []
        return [(*(before if i < CHANGE else after), (180, 180)), (*other, (470, 190))]

    session = Watch("clip.mp4", model, opener=lambda: clip(100, places))
    return list(session), session


def test_every_frame_gives_a_moment(changing):
    moments, session = changing
    assert [moment.frame.index for moment in moments] == list(range(100))
    assert [moment.time for moment in moments] == [i / FPS for i in range(100)]
    assert {len(moment) for moment in moments[:70]} == {2}
    assert [len(moment) for moment in moments[85:]] == [0] * 15
    assert session.summary.tracks == 2


def test_readings_keep_the_contract(changing, model):
    moments, _ = changing
    for one in moments[10]:
        reading = one.reading
        assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert sum(one.smooth.values()) == pytest.approx(1)
        assert reading.confidence == reading.probabilities[reading.label] == max(reading.probabilities.values())
        assert one.label == NOT_SURE or one.smooth[one.label] >= 0.3
        assert one.crop.shape == (48, 48)
        x1, y1, x2, y2 = reading.box_xyxy
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 360
    assert [one.reading.face for one in moments[10]] == [0, 1]


def test_the_model_reads_every_third_frame_and_all_faces_at_once(model, monkeypatch):
    calls = []
    predictor = LivePredictor(model)
    plain = predictor._read
    monkeypatch.setattr(predictor, "_read", lambda faces: calls.append(len(faces)) or plain(faces))
    one, other = face(1), face(7)
    for i, frame in enumerate(clip(12, lambda i: [(*one, (180, 180)), (*other, (470, 190))])):
        fresh = [reading.fresh for reading in predictor.read(frame)]
        assert fresh == [i % 3 == 0] * 2
    assert calls == [2, 2, 2, 2]
    assert predictor.fresh == 8


def test_the_detector_can_be_chosen(model, monkeypatch):
    used = []
    search = FaceDetector.search
    monkeypatch.setattr(
        FaceDetector, "search", lambda self, *a, **k: used.append(self.detector) or search(self, *a, **k)
    )
    list(watch(0, model, opener=lambda: clip(4, lambda i: [(*face(1), (320, 180))]), detector="haar", live=False))
    assert set(used) == {"haar"}
    with pytest.raises(InputError, match="Got detector='retina'"):
        watch(0, model, detector="retina")


def test_the_label_follows_the_face_within_the_promised_lag(changing):
    moments, _ = changing
    raw = [next(one.reading.label for one in moment if one.track == _smiling(moments)) for moment in moments[:70]]
    steady = [next(one.label for one in moment if one.track == _smiling(moments)) for moment in moments[:70]]
    assert Counter(raw[:CHANGE]).most_common(1)[0][0] != "happiness"
    assert set(raw[CHANGE + 6 :]) == {"happiness"}
    assert steady[CHANGE - 1] != "happiness"
    lag = (steady.index("happiness", CHANGE) - CHANGE) / FPS
    assert lag <= 0.3
    assert set(steady[CHANGE + round(0.3 * FPS) + 1 :]) == {"happiness"}


def _smiling(moments):
    return min(moments[10], key=lambda one: one.reading.box_xyxy[0]).track


def test_rows_have_the_columns_of_predict_and_more(changing, model):
    moments, _ = changing
    names = columns(model.labels)
    assert names[:10] == ["source", "frame", "time", "face", "x1", "y1", "x2", "y2", "label", "confidence"]
    assert names[10:17] == model.labels
    assert names[17:] == ["track", "fresh", "smooth_label", "smooth_confidence", *(f"smooth_{n}" for n in model.labels)]
    assert all(list(row) == names for row in moments[5].rows())
    [row] = moments[90].rows()
    assert row == {"source": "drawn", "frame": 90, "time": 3.6, "label": "", "smooth_label": ""}
    assert set(row) <= set(names)


def test_the_summary_adds_up(changing):
    moments, session = changing
    summary = session.summary
    about = json.loads(json.dumps(summary.as_dict()))
    with_face = sum(len(moment) > 0 for moment in moments)
    assert (about["frames"], about["frames_with_face"], about["frames_dropped"]) == (100, with_face, 0)
    assert about["readings"] == sum(len(moment) for moment in moments)
    assert about["fresh_readings"] == sum(one.fresh for moment in moments for one in moment)
    assert about["tracks"] == 2
    assert about["frames_per_second"] > 0
    assert about["latency_ms_median"] > 0
    assert 0 < about["first_reading_s"] < 600
    spent = {track: sum(row.values()) for track, row in summary.seconds.items()}
    assert set(spent) == {1, 2}
    assert sum(spent.values()) == pytest.approx(summary.face_seconds)
    assert summary.lines()[0].startswith(f"100 frames, {with_face} with a face, 0 dropped")
    assert len(summary.lines()) == 3


def test_a_camera_without_faces(model):
    moments = list(watch(0, model, opener=endless, max_seconds=0.4))
    assert moments
    assert not any(len(moment) for moment in moments)


def test_leaving_the_loop_frees_the_source(model):
    for _ in watch(0, model, opener=endless):
        break  # the fixture no_thread_left looks


def test_an_error_of_the_source_passes(model):
    session = Watch("missing.mp4", model)
    with pytest.raises(PictureError, match="does not exist"):
        list(session)
    assert session.summary.as_dict()["latency_ms_median"] is None


@pytest.mark.parametrize("settings", [{"every": 0}, {"every": 1.5}, {"tau": -1}, {"smallest": 3}, {"source": None}])
def test_wrong_settings_are_refused_at_once(model, settings):
    with pytest.raises(InputError, match="Got "):
        watch(**{"source": "sample", "model": model} | settings)


def test_happiness_holds_while_the_man_smiles(model):
    path = VIDEOS / "head-pose-face-detection-male.gif"
    if not path.exists():
        pytest.skip(f"{path.name} is not in ../shared/data/video")
    labels = [[one.label for one in moment] for moment in watch(path, model)]
    assert np.mean([row == ["happiness"] for row in labels]) >= 0.95


def test_quantiles_are_within_their_bins():
    values = np.random.default_rng(0).lognormal(2, 1, 5000)
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    for share in (0.05, 0.5, 0.95):
        assert quantiles.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.05)
    assert np.isnan(Quantiles().quantile(0.5))


def test_a_timeline_keeps_its_size():
    timeline = Timeline(["a", "b"], bins=8, span=0.5)
    for i in range(1000):
        timeline.add(1, "a" if i < 500 else "b", i * 0.1, 0.1)
    assert timeline.seconds[1].shape == (8, 2)
    assert timeline.seconds[1].sum() == pytest.approx(100, rel=1e-3)
    assert timeline.span == 16
    assert timeline.shown(1).tolist() == [0, 0, 0, 1, 1, 1, 1, -1]
    assert timeline.end == 112


def test_a_summary_of_many_people_keeps_its_size(changing):
    moments, session = changing
    [one, *_] = moments[10]
    summary = Summary(session.predictor.labels)
    from dataclasses import replace

    for i in range(300):
        frame = Frame(moments[10].frame.image, "drawn", i, i / 10)
        someone = replace(one, track=i + 1)
        summary.add(replace(moments[10], frame=frame, readings=(someone,)), i, i)
        summary.add(replace(moments[10], frame=replace(frame, time=i / 10 + 0.05), readings=(someone,)), i, i)
    assert len(summary.seconds) <= 66
    assert len(summary.timeline.seconds) <= 66
    assert OTHERS in summary.seconds
    assert summary.tracks == 300
    assert sum(sum(row.values()) for row in summary.seconds.values()) == pytest.approx(summary.face_seconds)
    assert "  others: " in "\n".join(summary.lines())


def test_a_watch_is_stopped_from_another_thread(model):
    import threading

    session = Watch(0, model, opener=endless, live=True)
    seen = []

    def look():
        seen.extend(moment.frame.index for moment in session)

    thread = threading.Thread(target=look)
    thread.start()
    while not session.summary.frames:
        thread.join(0.01)
    session.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert seen
