"""The report: what the page says is what was computed, and it needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ferkit.errors import DataError, InputError
from ferkit.evaluate import (
    Evaluation,
    Predictions,
    ablation,
    analyse,
    compare,
    evaluate_dataset,
    report_of,
    time_stages,
)
from ferkit.evaluate.charts import balance_chart, roc_chart
from ferkit.evaluate.families import can_ablate
from ferkit.figures import figure_bytes
from ferkit.sources import Dataset
from ferkit.store import load

HOSTILE = "<script>alert(1)</script>&\"'"


@pytest.fixture(scope="module")
def result(stacked, people) -> Evaluation:
    return evaluate_dataset(stacked, people.split("PublicTest"))


@pytest.fixture(scope="module")
def report(stacked, people, result):
    data = people.split("PublicTest")
    against = compare(result.right, ~result.right) | {"model": f"other {HOSTILE}"}
    slices = {f"sex {HOSTILE}": np.where(np.arange(len(data)) % 2, "f", HOSTILE), "age": np.arange(len(data)) // 8}
    made = report_of(
        stacked, data, result, title=f"Drawn {HOSTILE}", slices=slices, against=against, notes=["Warning: mind this."]
    )
    return made.with_stress(stacked, result, rows=6, jobs=1)


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "new" / "place"
    report.save(folder)
    return folder


class _Page(HTMLParser):
    """Addresses and tags of a page, and whether every tag is closed."""

    VOID = ("meta", "img", "source", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.open, self.ids = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name in ("src", "srcset", "href"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert not re.search(r"https?://|@import|url\(", text)
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (folder / link).is_file(), link
    used = {link for link in page.links if not link.startswith("#")}
    pictures = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".svg", ".png")}
    assert used == pictures


def test_charts_need_nothing_from_elsewhere(folder):
    for path in folder.glob("*.svg"):
        addresses = re.findall(r'(?:href|src)="([^"#][^"]*)"', path.read_text(encoding="utf-8"))
        assert addresses == [], path.name


def test_every_section_is_there(folder):
    page = _Page((folder / "index.html").read_text(encoding="utf-8"))
    sections = ["summary", "classes", "confusion", "curves", "calibration", "balance", "against", "slices"]
    assert page.ids == [*sections, "families", "stress", "wrong", "hardest", "time"]


def test_the_page_says_what_was_computed(folder, result, report):
    text = (folder / "index.html").read_text(encoding="utf-8")
    figures = result.figures()
    low, high = figures["accuracy_ci"]
    assert f"<b>{100 * figures['accuracy']:.1f} %</b><span>[{100 * low:.1f}, {100 * high:.1f}]" in text
    cells = [int(n) for n in re.findall(r'title="true \w+, answered \w+: (\d+) of', text)][:49]
    assert cells == np.ravel(figures["confusion"]).tolist()
    for label in figures["labels"]:
        assert f"{report.analysis.roc[label].area:.3f}" in text
    assert "mind this." in text
    assert f"Only 6 of {len(result.y_true)} faces were stressed" in text


def test_all_numbers_are_kept(folder, report, result):
    kept = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(report.record()))
    assert kept["figures"]["accuracy"] == result.right.mean()
    assert kept["stress"]["n"] == 6
    assert [own["family"] for own in kept["families"]] == ["hog", "lbp"]
    answers = Predictions.load(folder / "predictions.csv")
    np.testing.assert_array_equal(answers.right, result.right)


def test_names_cannot_break_the_page(folder, report):
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert len(report.slices) == 3, "persons are a group of their own"


def test_parts_that_are_missing_are_left_out(report, tmp_path):
    bare = replace(report, faces=None, slices={}, families=[], stages=[], stress=None, against=None, notes=[])
    path = bare.save(tmp_path)
    page = _Page(path.read_text(encoding="utf-8"))
    assert page.ids == ["summary", "classes", "confusion", "curves", "calibration", "balance"]
    assert not (tmp_path / "faces").exists()


def test_a_class_that_does_not_occur_and_a_model_that_is_always_right(tmp_path):
    proba = np.repeat([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], 10, axis=0)
    answers = Predictions(range(20), ["anger"] * 10 + ["fear"] * 10, proba, ["anger", "fear", "bored"])
    from ferkit.evaluate import Report

    path = Report("right", [], analyse(answers)).save(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "nan" not in text.lower()
    assert "<td>–" in text


def test_a_folder_that_cannot_be_made(report, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="expected a folder that can be written to"):
        report.save(tmp_path / "file")


def test_only_faces_of_an_older_report_go(report, tmp_path, monkeypatch):
    monkeypatch.setattr("ferkit.evaluate.sections.Sections.chart", lambda *args: None)
    few = replace(report, families=[], stages=[], stress=None, against=None)
    path = few.save(tmp_path)
    shown = {item.name for item in (tmp_path / "faces").iterdir()}
    (tmp_path / "faces" / "me.png").write_bytes(b"mine")
    assert replace(few, faces=None).save(tmp_path) == path
    assert shown
    assert [item.name for item in (tmp_path / "faces").iterdir()] == ["me.png"]


@pytest.mark.parametrize("others", [["figures.json"], ["index.html", "figures.json"], ["stress.jsonl", "thesis.txt"]])
def test_a_folder_of_other_files_stays(report, tmp_path, others):
    (tmp_path / "faces").mkdir()
    for name in (*others, "faces/me.png"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match="which holds other files"):
        report.save(tmp_path)
    assert {path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"mine"}
    assert len(list(tmp_path.rglob("*"))) == len(others) + 2


def test_a_report_that_was_stopped_is_written_again(report, tmp_path, monkeypatch):
    few = replace(report, faces=None, stages=[], stress=None)
    (tmp_path / "stress.jsonl").touch()
    monkeypatch.setattr("ferkit.evaluate.sections.Sections.chart", lambda *args: None)
    with monkeypatch.context() as patch:
        patch.setattr("ferkit.evaluate.sections.Sections.balance", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            few.save(tmp_path)
    assert "Summary" in few.save(tmp_path).read_text(encoding="utf-8")


def test_families_are_taken_away_one_by_one(stacked, result):
    found = {own["family"]: own for own in ablation(stacked, result.lit, result.y_true)}
    assert set(found) == {"hog", "lbp"}
    model = stacked.pipeline[-1]
    X = stacked.pipeline[:-1].transform(result.lit)
    logits = model.contributions(X)
    for i, name in enumerate(model.families_):
        alone = model.bases_[name].predict(X[name]) == result.y_true
        without = model.classes_[(logits.sum(axis=1) - logits[:, i] + model.bias_).argmax(axis=1)] == result.y_true
        own = found[name]
        assert (own["alone"], own["without"]) == (pytest.approx(alone.mean()), pytest.approx(without.mean()))
        assert own["loss"] == pytest.approx(result.right.mean() - without.mean())
    margins = model.base_margins(X)
    np.testing.assert_allclose(model.partial_proba(margins, ["hog", "lbp"]), model.predict_proba(X))
    with pytest.raises(InputError, match="Got bases"):
        model.partial_proba(margins, ["hog", "rain"])


def test_a_model_of_one_family_has_nothing_to_take_away(result):
    fast = load("fast")
    assert not can_ablate(fast)
    with pytest.raises(InputError, match="expected a Stacking of two or more bases"):
        ablation(fast, result.lit, result.y_true)


def test_the_stages_add_up(stacked, people):
    stages = time_stages(stacked, people[:5])
    names = [own["stage"] for own in stages]
    assert names == [
        "reading",
        "faces",
        "features: hog",
        "features: lbp",
        "classifier",
        "together",
        "one picture alone",
    ]
    assert sum(own["ms"] for own in stages[:5]) == pytest.approx(stages[5]["ms"])
    assert all(own["ms"] >= 0 for own in stages)


def test_mistakes_are_shown_with_their_faces(folder, result):
    import cv2

    row = next(path for path in (folder / "faces").glob("[0-9]*.png"))
    np.testing.assert_array_equal(cv2.imread(str(row), cv2.IMREAD_GRAYSCALE), result.faces.crops[int(row.stem)])


def test_a_set_without_persons_has_no_persons(stacked, people):
    data = people.split("PublicTest")
    nobody = Dataset(data.pictures, data.labels)
    report = report_of(stacked, nobody, evaluate_dataset(stacked, nobody), title="x")
    assert report.slices == {}


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser")
@pytest.mark.filterwarnings("ignore")
def test_a_browser_shows_it_light_and_dark_wide_and_on_a_phone(folder):
    api = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        papers = {}
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
                page, said = context.new_page(), []
                page.on("console", lambda message, said=said: said.append(message.text))
                page.on("requestfailed", lambda request, said=said: said.append(request.url))
                page.goto((folder / "index.html").as_uri())
                # decode() fails where a picture is missing; wait_for_function needs eval, which the page forbids
                page.evaluate(
                    "Promise.all([...document.images].map(one => { one.loading = 'eager'; return one.decode(); }))"
                )
                assert said == []
                root = "document.documentElement"
                assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), "the page scrolls sideways"
                charts = page.evaluate(
                    "[...document.images].map(one => one.currentSrc).filter(one => /svg$/.test(one))"
                )
                assert all(("-dark" in chart) == (scheme == "dark") for chart in charts)
                assert any("narrow" in chart for chart in charts) == (width < 700)
                papers[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
                context.close()
        browser.close()
    assert papers["light"] == "rgb(255, 255, 255)"
    assert papers["dark"] != papers["light"]


@pytest.mark.parametrize("label", ["_calm", "cost_$x_{$", "K\udce4se"])
def test_charts_show_every_label(label):
    y = np.array([label, "fear"] * 10)
    analysis = analyse(Predictions(range(20), y, np.where(y[:, None] == [label, "fear"], 0.7, 0.3), [label, "fear"]))
    for chart in (roc_chart(analysis.roc), balance_chart(analysis.figures)):
        assert label.encode("utf-8", "backslashreplace") in figure_bytes(chart, "svg")


def test_a_report_of_one_class_warns_of_nothing():
    analysis = analyse(Predictions(range(5), ["fear"] * 5, [[0.3, 0.7]] * 5, ["anger", "fear"]))
    assert figure_bytes(roc_chart(analysis.roc), "svg")
