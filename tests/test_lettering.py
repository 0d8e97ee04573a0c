"""Text on pictures: each letter from a font that has it."""

from pathlib import Path

import numpy as np
import pytest

from ferkit import figures, lettering

RARE = chr(0x1D81)
"""A letter that STIX has and DejaVu Sans lacks; both come with Matplotlib."""


@pytest.fixture
def eastern(monkeypatch):
    """STIX stands for a font that only some machines have."""
    monkeypatch.setattr(lettering, "EASTERN", ("No Such Font", "STIXGeneral"))
    lettering.fonts.cache_clear()
    lettering._letters.cache_clear()
    yield
    lettering.fonts.cache_clear()
    lettering._letters.cache_clear()


def drawn(text):
    canvas = np.zeros((40, 200, 3), np.uint8)
    lettering.put_text(canvas, text, 4, 28, 1.5)
    return canvas


def test_a_letter_comes_from_the_first_font_that_has_it(eastern):
    assert lettering.fonts() == ("DejaVu Sans", "STIXGeneral")
    files = [Path(lettering._font_file(text)).stem for text in ("m\u00fcde", RARE, "m\u00fcde" + RARE, "\u6012")]
    assert files == ["DejaVuSans", "STIXGeneral", "STIXGeneral", "DejaVuSans"]
    assert (drawn(RARE) != drawn(chr(0x1D84))).any()


def test_without_such_a_font_every_letter_is_the_same_box(monkeypatch):
    monkeypatch.setattr(lettering, "EASTERN", ())
    lettering.fonts.cache_clear()
    lettering._letters.cache_clear()
    assert (drawn(RARE) == drawn(chr(0x1D84))).all()
    lettering.fonts.cache_clear()
    lettering._letters.cache_clear()


def test_figures_take_the_same_fonts(eastern):
    with figures.look():
        figure, axes = figures.new_figure(2, 1)
        axes.set_title("fine" + RARE)  # a letter that no font has is a warning, and so an error here
        assert figures.figure_bytes(figure)[:4] == b"\x89PNG"
