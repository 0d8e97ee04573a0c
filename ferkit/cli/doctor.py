"""``ferkit doctor``: which parts are installed and really work."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import click

from ferkit.errors import FerkitError


@dataclass(frozen=True)
class Check:
    """One part: a function that tries it and says what it found, and what to do where it fails."""

    name: str
    tried: Callable[[], str]
    fix: str
    required: bool = True


class Absent(Exception):
    """An optional part is not installed; nothing is wrong."""


@click.command()
@click.option("--deep", is_flag=True, help="Also import TensorFlow, which takes seconds.")
def doctor(deep: bool) -> None:
    """Check which parts are installed and work, by running a small piece of each.

    Exit code 1 where a required part fails; the line says how to mend it.
    """
    failed = 0
    for check in checks(deep):
        mark, text = _tried(check)
        failed += mark == "FAIL"
        click.echo(f"{mark:<5}{check.name}: {text}")
    if failed:
        raise FerkitError(f"{failed} required part{'s' if failed > 1 else ''} failed.")


def _tried(check: Check) -> tuple[str, str]:
    try:
        return "ok", check.tried()
    except Absent as absent:
        return "-", f"{absent}. {check.fix}"
    except Exception as error:  # whatever a broken installation raises is the finding
        text = " ".join(str(error).split()) or type(error).__name__
        return "FAIL" if check.required else "warn", f"{text}. {check.fix}"


def checks(deep: bool = False) -> list[Check]:
    """All checks, in the order in which they are shown."""
    again = "Run: pip install --force-reinstall "
    return [
        Check("numpy and scikit-learn", _learning, f"{again}scikit-learn"),
        Check("OpenCV and its Haar cascade", _haar, f"{again}'opencv-contrib-python<5' (needs libGL, GLib)"),
        Check("scikit-image", lambda: _version("scikit-image", "skimage"), f"{again}scikit-image"),
        Check("pillow", _pillow, f"{again}pillow"),
        Check("feature families", _features, f"{again}ferkit"),
        Check("model files (skops)", _model_file, f"{again}skops"),
        Check("onnxruntime", _onnx, f"{again}onnxruntime"),
        Check("default model", _default_model, "Fit one of your own: ferkit fit hog_svm", required=False),
        Check("cache folder", _cache, "Choose another: ferkit fit --cache DIR, or set XDG_CACHE_HOME", required=False),
        Check("dlib detector", _dlib, "Run: pip install 'ferkit[dlib]'", required=False),
        Check("dlib landmarks", _landmarks, "Run: pip install 'ferkit[dlib]'", required=False),
        Check("web server", _server, "Run: pip install 'ferkit[serve]'", required=False),
        Check(
            "TensorFlow", lambda: _tensorflow(deep), "Only for training networks: pip install 'ferkit[train]'", False
        ),
    ]


def _version(package: str, module: str) -> str:
    from importlib import import_module

    import_module(module)
    return metadata.version(package)


def _learning() -> str:
    import numpy as np

    from ferkit.model import LinearSVM

    X = np.random.default_rng(0).normal(size=(40, 5)) + np.repeat([[0], [3]], 20, axis=0)
    score = LinearSVM().fit(X, np.repeat([0, 1], 20)).score(X, np.repeat([0, 1], 20))
    if score < 0.9:
        raise FerkitError(f"Got accuracy {score:.2f} on two plain clouds, expected nearly 1")
    return f"{metadata.version('numpy')}, {metadata.version('scikit-learn')}"


def _haar() -> str:
    import cv2

    from ferkit.faces import FaceDetector

    found = len(FaceDetector("haar").detect(_drawn(200)))
    if not found:
        raise FerkitError("the cascade finds no face in a drawn portrait")
    return f"{cv2.__version__}, found {found} face in a drawn portrait"


def _drawn(size: int) -> object:
    from ferkit.sources import draw_face

    return draw_face("happiness", size=size)


def _pillow() -> str:
    import io

    import numpy as np
    from PIL import Image

    from ferkit.sources import read_image

    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(buffer, "JPEG")
    read_image(buffer.getvalue())
    return metadata.version("pillow")


def _features() -> str:
    import numpy as np

    from ferkit.features import HOG, LBP, FamilyUnion

    crops = np.random.default_rng(0).integers(0, 256, (2, 48, 48), dtype=np.uint8)
    found = FamilyUnion([("hog", HOG()), ("lbp", LBP())]).fit_transform(crops)
    return f"{found.shape[1]} numbers a face from HOG and LBP"


def _model_file() -> str:
    import tempfile

    import numpy as np

    from ferkit import store
    from ferkit.model import LinearSVM

    X = np.random.default_rng(0).normal(size=(20, 3))
    with tempfile.TemporaryDirectory() as folder:
        model = LinearSVM(calibrate=False).fit(X, np.arange(20) % 2)
        store.load(store.save(model, Path(folder) / "a.ferkit"))
    return f"{metadata.version('skops')}, saved and opened"


def _onnx() -> str:
    import onnxruntime

    from ferkit.features.onnx import OnnxNetwork, own_files

    paths = own_files()
    if not paths:
        return f"{onnxruntime.__version__}, no network in this copy to run"
    import numpy as np

    for path in paths:
        network = OnnxNetwork(path)
        lengths = [length or network.size or 1 for length in network.input_shape[1:]]
        network.run(np.zeros((1, *lengths), np.float32))
    return f"{onnxruntime.__version__}, ran {len(paths)} of ferkit's own networks"


def _default_model() -> str:
    from ferkit import store

    path = store.default_path()
    if not path.is_file():
        raise Absent("not in this copy")
    model = store.load(path)
    model.predict_proba([_drawn(160)])
    return f"{model.manifest.get('name')}, {len(model.labels)} labels, {path.stat().st_size / 1e6:.1f} MB"


def _cache() -> str:
    from ferkit.features import FeatureCache
    from ferkit.files import default_folder

    folder = default_folder()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise FerkitError(f"{folder} cannot be written")
    return f"{folder}, {FeatureCache(folder).size() / 1e6:.1f} MB"


def _dlib() -> str:
    if find_spec("dlib") is None:
        raise Absent("not installed, Haar is used")
    import dlib

    from ferkit.faces import FaceDetector

    FaceDetector("dlib").detect(_drawn(200))
    return str(dlib.__version__)


def _landmarks() -> str:
    from ferkit.faces.landmarks import Landmarks, available

    found = available()
    if "5" not in found:
        raise Absent("no predictor files found, faces are not turned upright")
    Landmarks(found["5"])
    note = ", 68 points (trained on data for non-commercial use)" if "68" in found else ""
    return f"5 points{note}"


def _server() -> str:
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise Absent("not installed")
    from ferkit.serve import create_app

    return f"FastAPI {metadata.version('fastapi')}, {len(create_app().openapi()['paths'])} addresses"


def _tensorflow(deep: bool) -> str:
    if find_spec("tensorflow") is None:
        raise Absent("not installed")
    if not deep:
        return f"{metadata.version('tensorflow')} (not imported; --deep does)"
    import tensorflow

    return f"{tensorflow.__version__}, {float(tensorflow.reduce_sum(tensorflow.ones(3))):.0f} = 3"
