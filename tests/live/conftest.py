"""The shipped model, read once."""

import gc
import threading
from weakref import WeakValueDictionary

import pytest

from ferkit import store
from ferkit.live import tracks


@pytest.fixture(scope="session")
def model():
    return store.load()


@pytest.fixture(autouse=True)
def no_thread_left(monkeypatch):
    monkeypatch.setattr(tracks, "_POOLS", WeakValueDictionary())  # others may hold on to the one of all trackers
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = [thread for thread in threading.enumerate() if thread.name.startswith("ferkit-") and thread not in before]
    for thread in left:
        thread.join(2)
    assert not [thread for thread in left if thread.is_alive()]
