"""Real servers on free ports, in processes of their own."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

import httpx
import pytest
import skimage.data
from uploads import encoded

from ferkit.sources import draw_face

pytest.importorskip("fastapi", reason="the extra serve is not installed")

PATIENCE = 90.0


@dataclass
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen
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
def server(start, tmp_path_factory):
    """One with a store, for all tests that change nothing about it."""
    return start("--store", f"sqlite:///{tmp_path_factory.mktemp('store') / 'readings.db'}", "--name", "faces.test")


@pytest.fixture(scope="session")
def strict(start, tmp_path_factory):
    """One with little patience and few places."""
    config = tmp_path_factory.mktemp("strict") / "serve.yaml"
    config.write_text("limits: {idle_s: 1.5, streams: 2, streams_each: 2, connections_each: 20}\n")
    return start("--config", str(config))


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
