"""Every test keeps its caches in a folder of its own, so that none is left behind."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_caches(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("caches")
        patch.setenv("FERKIT_HOME", str(folder / "ferkit"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder
