"""What is drawn: every panel of every model, words that fit, a page that stands alone."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from ferkit.explain import figure, hog_view, page, panels, strokes
from ferkit.explain.drawing import (
    AGAINST,
    FOR,
    blended,
    draw_family,
    draw_measures,
    family_title,
    limit_of,
    measure_title,
)
from ferkit.explain.explainer import Evidence
from ferkit.explain.panels import Panel, drawing_of, grid, headline
from ferkit.features import HOG, Geometry, NetworkFeatures
from ferkit.features.geometry import MEASURES
from ferkit.figures import figure_bytes, new_figure
from ferkit.records import Faces
from ferkit.sources import draw_face

PICTURE = draw_face("happiness", seed=1)


@pytest.fixture(scope="module")
def why(explainers, held):
    return {
        name: explainers[name].explain(held[0][3], source=f"{name}.png")[0] for name in ("hybrid", "cnn", "foreign")
    }


def titles(drawn):
    return [panel.title for panel in drawn]


def test_panels_of_a_fusion(why):
    one = why["hybrid"]
    found = titles(panels(one, PICTURE, (20, 20, 120, 120)))
    assert found[:3] == ["The picture", "What the model sees", "How sure it is"]
    assert f"Why {one.label} and not {one.against}" in found
    for wanted in ("Edges (HOG): the view", "Texture (LBP): the codes", "Visual words", "Fisher vectors", "Network"):
        assert wanted in found
    assert len(set(found)) == len(found)


def test_panels_of_a_single_model(why):
    found = titles(panels(why["cnn"]))
    assert "The picture" not in found
    assert not any(title.startswith("Why") for title in found)
    assert found[-2:] == ["When a part is covered", "Network"]
    assert titles(panels(why["foreign"]))[-1] == "Edges (HOG): the evidence"
    assert not any(", not " in title for title in titles(panels(why["foreign"])))


def test_a_family_that_says_nothing_is_not_drawn(why):
    silent = {**why["hybrid"].contributions, "lbp": dict.fromkeys(why["hybrid"].probabilities, 0.0)}
    found = titles(panels(replace(why["hybrid"], contributions=silent)))
    assert not any("LBP" in title for title in found)


def renamed(one, **names):
    """An explanation whose labels have other names."""

    def turn(values):
        return {names.get(label, label): value for label, value in values.items()}

    parts = {name: turn(getattr(one, name)) for name in ("probabilities", "log_odds", "bias")}
    families = {family: turn(part) for family, part in one.contributions.items()}
    label, against = (names.get(name, name) for name in (one.label, one.against))
    return replace(one, label=label, against=against, contributions=families, **parts)


@pytest.mark.parametrize("name", ["hybrid", "cnn", "foreign", "long names"])
def test_words_do_not_overlap(why, name):
    one = why.get(name) or renamed(why["hybrid"], happiness="an extraordinarily good mood", neutral="x" * 60)
    made = figure(one, PICTURE, (20, 20, 120, 120))
    drawer = FigureCanvasAgg(made).get_renderer()
    made.draw(drawer)
    boxes = [text.get_window_extent(drawer) for text in made.texts if text.get_text()]
    pictures = [axes.get_window_extent(drawer) for axes in made.axes]
    whole = made.bbox
    for i, box in enumerate(boxes):
        assert box.x1 <= whole.x1
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.overlaps(other) for other in pictures), made.texts[i].get_text()
    for axes in made.axes:
        tight = axes.get_tightbbox(drawer)
        assert tight.x1 <= whole.x1 + 1
        assert tight.y0 >= 0
        assert not any(tight.overlaps(box) for box in boxes)


def test_the_same_explanation_gives_the_same_file(why):
    assert figure_bytes(figure(why["cnn"])) == figure_bytes(figure(why["cnn"]))


def test_a_picture_without_a_face_says_so(explainers, held):
    middle = Faces(held[0].crops[:1], found=[False])
    first = panels(explainers["hog"].explain(middle)[0], np.zeros((3000, 2000), np.uint8), (0, 500, 2000, 2500))[0]
    assert first.caption == "No face was found: the middle is explained."
    (drawn,) = drawing_of(first).axes[0].get_images()
    assert drawn.get_array().shape == (800, 533)


def test_headlines(explainers, held):
    face, explainer = held[0][3], explainers["hybrid"]
    best = explainer.explain(face)[0]
    assert headline(best).startswith(f"{best.label}, ")
    other = next(name for name in explainer.labels if name not in (best.label, best.against))
    asked = explainer.explain(face, other)[0]
    assert headline(asked) == f"Why {other}, {asked.probabilities[other]:.0%}? The answer is {best.label}, " + (
        f"{asked.probabilities[best.label]:.0%}."
    )
    assert "Compared with" in headline(explainer.explain(face, other, best.against)[0])


def test_the_page_stands_alone(why):
    text = page([(one, panels(one, PICTURE, (20, 20, 120, 120))) for one in (why["hybrid"], why["cnn"])], "A <page>")
    assert "<title>A &lt;page&gt;</title>" in text
    assert not re.search(r"(src|href)='(?!data:image/png;base64,)", text)
    assert "<script" not in text
    assert "http" not in text
    assert (
        text.count("<img alt='")
        == text.count("<figure>")
        == len(panels(why["hybrid"], PICTURE)) + len(panels(why["cnn"], PICTURE))
    )
    assert "Visual words" in text.split("<table>")[1]
    for tag in ("section", "figure", "table", "div", "main", "tr"):
        assert text.count(f"<{tag}") == text.count(f"</{tag}>")


def test_labels_of_a_stranger_are_only_text(explainers, held):
    one = explainers["hog"].explain(held[0][0])[0]
    text = page([(replace(one, source="<script>alert(1)</script>"), [])])
    assert "<script" not in text


def test_colours():
    crop = np.full((4, 4), 200, np.uint8)
    found = np.array([[1.0, -1.0, 0.0, 0.0]] * 4)
    picture = blended(crop, found)
    assert picture[0, 0, 0] > picture[0, 0, 2], "orange for"
    assert picture[0, 1, 2] > picture[0, 1, 0], "blue against"
    assert np.ptp(picture[0, 2]) == 0
    assert (FOR, AGAINST) == ("#d55e00", "#0072b2")
    assert limit_of(np.zeros((2, 2))) > 0


def test_strokes_run_along_edges():
    face = np.zeros((1, 48, 48), np.uint8)
    face[:, 24:] = 200  # a level edge
    for signed, orientations in ((True, 8), (True, 9), (False, 9)):
        hog = HOG(orientations=orientations, signed=signed, block=1)
        lines, strengths = strokes(hog.cells(face)[0], 6, signed)
        way = np.abs(lines[:, 1] - lines[:, 0])
        assert len(lines) == len(strengths) > 0
        assert (way[:, 0] > 2 * way[:, 1]).all()
        assert (np.abs(lines[..., 1].mean(axis=1) - 24) <= 3).all()
    assert hog_view(face[0], 96).shape == (96, 96, 3)
    assert len(strokes(np.zeros((8, 8, 8)), 6, True)[0]) == 0


def test_landmarks_are_named():
    points = np.random.default_rng(0).uniform(8, 40, (2, 68, 2))
    face = Faces(np.zeros((2, 48, 48), np.uint8), points)
    family = Geometry().fit(face)
    columns = np.zeros((1, len(MEASURES) + 1))
    columns[0, 3] = 2.0
    columns[0, 5] = -1.0
    evidence = Evidence(family, "exact", family.evidence_map(face[:1], columns, columns), columns)
    drawing_of(Panel("Landmarks", "", lambda axes: draw_family(axes, face[:1], evidence)))
    made = drawing_of(Panel("Measures", "", lambda axes: draw_measures(axes, evidence)))
    said = [text.get_text() for text in made.axes[0].texts]
    assert said[:2] == [f"{measure_title(list(MEASURES)[3])}  +2.00", f"{measure_title(list(MEASURES)[5])}  -1.00"]
    assert measure_title("head/nod") == "head nod"
    assert family_title("mine", object()) == "mine"
    assert [family_title(name, NetworkFeatures()) for name in ("cnn", "deep")] == ["Network", "Network (deep)"]


def test_a_grid_fills_its_rows():
    drawn = [Panel(f"{i}", "", lambda axes: axes.plot([0, 1])) for i in range(9)]
    made = grid(drawn, "Nine")
    assert len(made.axes) == 9
    assert len({round(axes.get_position().y0, 3) for axes in made.axes}) == 3
    size = Image.open(io.BytesIO(figure_bytes(made, dpi=50))).size
    assert size == tuple(round(50 * side) for side in made.get_size_inches())


def test_drawing_needs_no_pyplot():
    import sys

    before = "matplotlib.pyplot" in sys.modules
    new_figure(1, 1)
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_the_snippet_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", text, re.S)[1], {})
    assert (tmp_path / "why.png").stat().st_size > 10_000
