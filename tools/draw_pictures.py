"""Draw the pictures of the documentation, from drawn faces and skimage.data only, into docs/pictures/."""

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

from ferkit import store
from ferkit.draw import draw_readings
from ferkit.labels import FER2013
from ferkit.live import watch
from ferkit.live.drawing import Overlay
from ferkit.predict import readings
from ferkit.sources import draw_face

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"


def write(name: str, picture: np.ndarray) -> None:
    """One RGB picture as JPEG."""
    cv2.imwrite(str(FOLDER / name), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def result() -> np.ndarray:
    """A photo and two drawn faces with what the shipped model reads from them."""
    model = store.load(store.default_path())
    photo = skimage.data.astronaut()[:360, 40:440]
    pictures = [photo] + [
        cv2.resize(draw_face(e, size=360, seed=s), (360, 360)) for e, s in (("surprise", 3), ("anger", 4))
    ]
    return np.hstack([draw_readings(p, list(readings([p], model))) for p in pictures])


def sample() -> np.ndarray:
    """The drawn expressions in rows of four persons."""
    rows = [np.hstack([draw_face(name, size=112, seed=seed) for name in FER2013]) for seed in range(1, 5)]
    return np.vstack(rows)


def live() -> list[Image.Image]:
    """The drawn clip as ``ferkit live --source sample`` shows it, every sixth frame and smaller."""
    overlay, shown = Overlay(), []
    for moment in watch("sample"):
        picture = overlay.draw(moment)
        if moment.frame.index % 6 == 0:
            small = Image.fromarray(cv2.resize(picture, (360, 270), interpolation=cv2.INTER_AREA))
            shown.append(small.quantize(80, dither=Image.Dither.NONE))
    return shown


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    write("result.jpg", result())
    write("sample.jpg", sample())
    first, *others = live()
    first.save(FOLDER / "live.gif", save_all=True, append_images=others, duration=300, loop=0, optimize=True)
