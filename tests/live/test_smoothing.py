"""Smoothing: independent of the frame rate, quick enough, and steady."""

from itertools import pairwise

import numpy as np
import pytest

from ferkit.errors import InputError
from ferkit.live import NOT_SURE, Smoother

LABELS = ["anger", "happiness", "neutral"]


def shares(label, p=0.8):
    rest = (1 - p) / (len(LABELS) - 1)
    return np.array([p if name == label else rest for name in LABELS])


def test_the_first_reading_counts_whole():
    smoother = Smoother(LABELS)
    assert smoother.label == NOT_SURE
    smoother.add(shares("anger"), 3.0)
    assert smoother.probabilities == pytest.approx(shares("anger"))
    assert smoother.label == "anger"


@pytest.mark.parametrize("rate", [5, 10, 30, 120])
def test_a_change_shows_within_the_promised_lag(rate):
    smoother = Smoother(LABELS)
    for i in range(rate):
        smoother.add(shares("neutral"), i / rate)
    for i in range(rate, 2 * rate):
        smoother.add(shares("happiness"), i / rate)
        if smoother.label == "happiness":
            break
    # the change lies up to one reading before the first reading that shows it
    assert i / rate - 1 + (1 / rate if rate >= 10 else 0) <= 0.3


def test_the_average_does_not_depend_on_the_rate():
    ends = []
    for rate in (10, 50):
        smoother = Smoother(LABELS)
        smoother.add(shares("neutral"), 0.0)
        for i in range(1, rate // 5 + 1):
            smoother.add(shares("happiness"), i / rate)
        ends.append(smoother.probabilities)
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)


def test_noise_does_not_flicker():
    rng = np.random.default_rng(0)
    smoother, raw, steady = Smoother(LABELS), [], []
    for i in range(300):
        p = shares("happiness" if rng.random() < 0.35 else "neutral", 0.6)
        smoother.add(p, i / 30)
        raw.append(LABELS[int(p.argmax())])
        steady.append(smoother.label)
    changes = [sum(a != b for a, b in pairwise(row)) for row in (raw, steady)]
    assert changes[0] > 100
    assert changes[1] < changes[0] / 5


def test_a_label_gives_way_only_to_a_clear_lead():
    smoother = Smoother(LABELS, tau=0, margin=0.1, threshold=0.3)
    smoother.add(np.array([0.1, 0.42, 0.48]), 0)
    assert smoother.label == "neutral"
    smoother.add(np.array([0.1, 0.48, 0.42]), 1)
    assert smoother.label == "neutral"
    smoother.add(np.array([0.1, 0.52, 0.38]), 2)
    assert smoother.label == "happiness"


def test_not_sure_below_the_threshold():
    smoother = Smoother(LABELS, tau=0, threshold=0.5, margin=0.1)
    smoother.add(np.array([0.3, 0.3, 0.4]), 0)
    assert smoother.label == NOT_SURE
    smoother.add(np.array([0.2, 0.28, 0.52]), 1)
    assert smoother.label == NOT_SURE
    smoother.add(np.array([0.2, 0.24, 0.56]), 2)
    assert smoother.label == "neutral"
    smoother.add(np.array([0.25, 0.24, 0.51]), 3)
    assert smoother.label == "neutral"
    smoother.add(np.array([0.3, 0.25, 0.45]), 4)
    assert smoother.label == NOT_SURE


def test_one_reading_without_doubt_does_not_outweigh_all():
    smoother = Smoother(LABELS)
    for i in range(30):
        smoother.add(shares("neutral"), i / 30)
    smoother.add(np.array([1.0, 0.0, 0.0]), 1.0)
    assert np.isfinite(smoother.probabilities).all()
    assert smoother.label == "neutral"


@pytest.mark.parametrize("settings", [{"tau": -1}, {"margin": 2}, {"threshold": float("nan")}])
def test_wrong_settings(settings):
    with pytest.raises(InputError, match="Got "):
        Smoother(LABELS, **settings)
