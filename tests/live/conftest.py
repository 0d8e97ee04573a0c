"""The shipped model, read once."""

import threading

import pytest

from ferkit import store


@pytest.fixture(scope="session")
def model():
    return store.load()


@pytest.fixture(autouse=True)
def no_thread_left():
    yield
    left = [thread for thread in threading.enumerate() if thread.name.startswith("ferkit-") and thread.is_alive()]
    for thread in left:
        thread.join(2)
    assert not [thread for thread in left if thread.is_alive()]
