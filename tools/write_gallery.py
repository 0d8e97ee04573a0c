"""Write docs/gallery.md and its pictures: explanations of drawn faces and of a picture of scikit-image.

    python tools/write_gallery.py

The small model of several families is fitted on drawn faces; the others are those that ship.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from sklearn.pipeline import Pipeline

from ferkit import store
from ferkit.explain import Explainer, deletion_curve, figure, insertion_curve, overview
from ferkit.explain.drawing import draw_curves, family_title
from ferkit.explain.overview import overview_panels
from ferkit.explain.panels import Panel, grid
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, LBP, FamilyUnion, FisherVectors, NetworkFeatures, VisualWords
from ferkit.figures import figure_bytes
from ferkit.model import RBFSVM, Voting
from ferkit.predict import Predictor
from ferkit.records import Faces
from ferkit.sources import draw_face, sample

DOCS = Path(__file__).resolve().parents[1] / "docs"
PICTURES = DOCS / "pictures" / "gallery"
FACES = 21
"""Drawn faces that the curves are means of."""


def explained(explainer: Explainer, predictor: Predictor, picture: np.ndarray, name: str, *asked: str) -> object:
    """Figure of the largest face of a picture."""
    frame, found = next(item for item in predictor.faces_in([picture]) if not isinstance(item, Exception))
    why = explainer.explain(found[:1], *asked, source=name)[0]
    return figure(why, frame.image, found.boxes_xyxy[0])


def truth(explainer: Explainer) -> object:
    """Deletion and insertion curves of each family and of the whole, means over drawn faces of new people."""
    drawn = sample(FACES, seed=5)
    faces = Faces(drawn.pictures)
    asked = np.stack([explainer.direction(str(label)) for label in drawn.labels])
    found = explainer.evidence(faces, asked)
    whole = np.sum([one.maps for one in found.values()], axis=0)
    panels = []
    for curve in (deletion_curve, insertion_curve):
        curves = curve(explainer, faces, whole, asked)
        title = f"The whole model: {curves.kind}"
        panels.append(
            Panel(title, f"Area between the curves: {curves.gain.mean():.2f}.", partial(_curves, curves), True)
        )
    for name, one in found.items():
        curves = deletion_curve(explainer, faces, one.maps, asked, family=name)
        text = f"Only this family sees the cover. Area between the curves: {curves.gain.mean():.2f}."
        panels.append(Panel(f"{family_title(name, one.family)}: deletion", text, partial(_curves, curves), True))
    note = "Places with the strongest evidence come first: the class falls (or rises) faster than by chance."
    return grid(panels, f"Explanations are true: {FACES} drawn faces of people that the model has not seen", note)


def _curves(curves: object, axes: object) -> None:
    draw_curves(axes, curves)


def made() -> Iterator[tuple[str, str, str, object]]:
    """Name, title, words and figure of each picture."""
    shipped = Predictor(None, "largest")
    explainer = Explainer(shipped.model)
    smile = draw_face("happiness", size=240, seed=1)
    yield (
        "shipped",
        "A drawn face, the model that ships",
        "`ferkit explain smile.png -o why.png`",
        explained(explainer, shipped, smile, "smile.png"),
    )
    yield (
        "astronaut",
        "A photo, another question",
        "`ferkit explain astronaut.png --label happiness --against surprise -o why.png`. "
        "The photo is `skimage.data.astronaut()` (NASA, public domain).",
        explained(explainer, shipped, data.astronaut(), "astronaut.png", "happiness", "surprise"),
    )
    people = sample(700, seed=0)
    pipeline = voters().fit(people.pictures, people.labels)
    several = Predictor(store.Model(pipeline, {}, Path("small.ferkit")), "largest")
    explainer = Explainer(pipeline)
    yield (
        "families",
        "All families of features",
        "A small model whose five families vote, fitted on 700 drawn faces, looks at a drawn face of somebody else.",
        explained(explainer, several, draw_face("surprise", size=240, seed=6), "surprise.png"),
    )
    yield (
        "overview",
        "A whole data set",
        "`ferkit explain --data sample --split PrivateTest --model small.ferkit -o overview.png`",
        grid(
            overview_panels(overview(explainer, people.split("PrivateTest"))),
            "What a small model sees in drawn faces",
            "Orange and solid lines speak for an expression, blue and dashed lines against.",
        ),
    )
    yield (
        "truth",
        "Are the explanations true?",
        "Deletion and insertion curves (`explain.deletion_curve`, `explain.insertion_curve`).",
        truth(explainer),
    )


def voters() -> Pipeline:
    """Five families that vote."""
    families = [
        ("hog", HOG(cell=[6, 8, 12], sqrt=True)),
        ("lbp", LBP()),
        ("words", VisualWords(n_words=300)),
        ("fisher", FisherVectors(n_gaussians=16, n_axes=32)),
        ("cnn", NetworkFeatures(output="logits")),
    ]
    model = Voting({"fisher": RBFSVM(n_components=None, standardize=False), "cnn": "passthrough"})
    return Pipeline([("faces", FaceExtractor()), ("features", FamilyUnion(families)), ("model", model)])


def small(content: bytes) -> bytes:
    """A picture as JPEG, a third of the size."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=82, subsampling=0, optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Write everything."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Gallery",
        "",
        "Made by `python tools/write_gallery.py`. What each drawing means: [explain.md](explain.md).",
        "",
    ]
    for name, title, words, drawn in made():
        path = PICTURES / f"{name}.jpg"
        path.write_bytes(small(figure_bytes(drawn, dpi=85)))
        lines += [f"## {title}", "", words, "", f"![{title}](pictures/gallery/{name}.jpg)", ""]
        print(f"wrote {path.relative_to(DOCS.parent)}, {path.stat().st_size / 1000:.0f} kB")
    (DOCS / "gallery.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
