"""Real servers on free ports, in threads of this process or in processes of their own."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import httpx
import pytest
import skimage.data
from uploads import encoded

from ferkit.sources import draw_face

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from ferkit.serve import Limits, Settings
from ferkit.serve.run import listening, server_of

PATIENCE = 90.0


@dataclass
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen | None
    said: str

    def client(self, **options):
        return httpx.Client(base_url=self.url, timeout=PATIENCE, **options)

    @property
    def socket_url(self):
        return self.url.replace("http", "ws") + "/api/stream"

    def stop(self, how=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Starts servers, which end with the session at the latest."""
    running = []

    def begin(*words, **environment):
        command = [sys.executable, "-m", "ferkit", "serve", "--port", "0", *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        running.append(Server(re.sub(r"//[^:/]+", "//127.0.0.1", found.group()), process, line))
        return running[-1]

    yield begin
    for server in running:
        server.stop()
        server.process.stdout.close()
        server.process.stderr.close()


@pytest.fixture(scope="session")
def inside():
    """Starts servers in threads of this process: the same code on a real port, without a start of Python for each."""
    running = []

    def begin(**settings):
        checked = Settings(**settings).check()
        listener, said = listening(checked.host, 0), []
        uvicorn_server = server_of(checked, listener, said.append)
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],), name="server")
        thread.start()
        running.append((uvicorn_server, thread, listener))
        while not said and thread.is_alive():
            time.sleep(0.01)
        return Server(f"http://127.0.0.1:{listener.getsockname()[1]}", None, said[0])

    yield begin
    for uvicorn_server, thread, listener in running:
        uvicorn_server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def server(inside, tmp_path_factory):
    """One with a store, for all tests that change nothing about it."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'readings.db'}"
    return inside(store=store, names=("faces.test",))


@pytest.fixture(scope="session")
def strict(inside):
    """One with little patience and few places."""
    return inside(limits=Limits(idle_s=1.5, streams=2, streams_each=2, connections_each=20))


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def photo():
    """JPEG bytes of the astronaut in scikit-image, who smiles."""
    return encoded(skimage.data.astronaut())


@pytest.fixture(scope="session")
def drawn():
    """JPEG bytes of a drawn face."""
    return encoded(draw_face("surprise", size=240))
