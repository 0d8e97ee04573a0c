"""Figures are the same each time and leave Matplotlib's global state alone."""

import matplotlib as mpl
import pytest

from ferkit.figures import figure_bytes, new_figure

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("kind", STARTS)
def test_a_figure_is_the_same_each_time(kind):
    before = dict(mpl.rcParams)
    contents = []
    for _ in range(2):
        figure, axes = new_figure(3, 2)
        axes.plot([0, 1], [1, 0])
        contents.append(figure_bytes(figure, kind))
    assert contents[0] == contents[1]
    assert contents[0].startswith(STARTS[kind])
    assert dict(mpl.rcParams) == before


def test_axes_come_in_rows_and_columns():
    _, axes = new_figure(4, 4, 2, 3, squeeze=False)
    assert axes.shape == (2, 3)
    assert not axes[0, 0].spines["top"].get_visible()
