"""The pages in a real Chromium, with a clip in place of its camera."""

import re
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from uploads import encoded

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip("chromium is not installed: apt-get install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PATIENCE = 60_000
DENIED = """navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NAME"); }"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    clip = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    ground = np.full((480, 640, 3), 110, np.uint8)
    with clip.open("wb") as file:
        for i in range(20):
            frame = ground.copy()
            frame[60:420, 140 + i : 500 + i] = skimage.data.astronaut()[:360, 60:420]
            file.write(encoded(frame, quality=90))
    with sync_api.sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={clip}", "--host-resolver-rules=MAP faces.test 127.0.0.1"]
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser):
    context = browser.new_context(permissions=["camera"])
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context):
    """A page that may ask nobody but its server, and on which nothing goes wrong."""
    page = context.new_page()
    wrong, asked = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert wrong == []
    assert {re.match(r"\w+:(//[^/:]+)?", url).group() for url in asked} <= {
        "http://127.0.0.1",
        "http://faces.test",
        "blob:",
    }


def state(page, name):
    page.locator(f"body[data-state={name}]").wait_for()


def test_the_live_page_shows_labels_of_the_camera(server, page):
    page.goto(server.url)
    assert "Nothing is stored" in page.inner_text("#kept")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("button", name="Start the camera").click()
    state(page, "live")
    card = page.locator("#faces .face", has_text="happiness")
    card.wait_for()
    page.locator(".face .what", has_text="happiness").wait_for()
    page.get_by_role("switch", name="Oriented gradients").check()
    page.wait_for_timeout(1500)
    drawn = page.evaluate(
        """() => { const c = document.querySelector('#overlay');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); }"""
    )
    assert drawn
    assert float(page.inner_text("#fps")) > 0
    page.get_by_role("switch", name="Keep readings").check()
    page.locator("#kept", has_text="never pictures").wait_for()
    page.get_by_role("button", name="Stop").click()
    state(page, "idle")
    assert page.locator("#faces .face").count() == 0


@pytest.mark.parametrize(
    ("name", "shown", "said"),
    [
        ("NotAllowedError", "refused", "did not allow"),
        ("NotFoundError", "nocamera", "No camera was found"),
        ("NotReadableError", "nocamera", "another program"),
    ],
)
def test_a_camera_that_is_refused_missing_or_taken_is_said(server, page, name, shown, said):
    page.add_init_script(DENIED.replace("NAME", name))
    page.goto(server.url)
    page.click("#start")
    state(page, shown)
    assert said in page.inner_text("#status")


def test_a_lost_connection_comes_back(start, page):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    first = start("--port", port)
    page.goto(first.url)
    page.click("#start")
    state(page, "live")
    first.stop(signal.SIGKILL)
    state(page, "lost")
    assert "Trying again" in page.inner_text("#status")
    start("--port", port)
    state(page, "live")


def test_a_page_without_https_says_why_there_is_no_camera(server, page):
    page.goto(server.url.replace("127.0.0.1", "faces.test"))
    state(page, "insecure")
    assert "HTTPS" in page.inner_text("#status")


def test_pictures_are_read_drawn_and_saved(server, page, tmp_path, photo):
    (tmp_path / "=one.jpg").write_bytes(photo)
    (tmp_path / "two.txt").write_bytes(b"no picture")
    page.goto(server.url + "/pictures")
    page.set_input_files("#files", [tmp_path / "=one.jpg", tmp_path / "two.txt"])
    page.locator(".face .what", has_text="happiness").wait_for()
    page.locator(".note.bad").wait_for()
    assert page.get_by_role("img", name="1 face: happiness").count() == 1
    page.get_by_role("button", name="Why?").click()
    why = page.get_by_role("img", name="Why face 1 is happiness and not")
    why.wait_for()
    assert why.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 400
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download all as CSV").click()
    rows = saved.value.path().read_text().splitlines()
    assert rows[0].startswith("source,frame,time,face,x1,y1,x2,y2,label,confidence,anger")
    assert rows[1].startswith("'=one.jpg,0,,0,")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download picture").click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_video_plays_when_it_is_read_though_an_answer_is_lost(server, page, tmp_path):
    import cv2

    from ferkit.live.sample import drawn_clip

    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (640, 480))
    for frame in drawn_clip(2):
        writer.write(frame.image[..., ::-1])
    writer.release()
    page.route("**/api/videos/*", lambda route: route.abort(), times=1)
    page.goto(server.url + "/pictures")
    page.set_input_files("#files", {"name": "clip.avi", "mimeType": "video/x-msvideo", "buffer": path.read_bytes()})
    player = page.locator("video")
    player.wait_for()
    assert page.locator(".note.bad").count() == 0
    player.evaluate("v => new Promise((ready) => { if (v.readyState > 1) ready(); v.onloadeddata = ready; v.load(); })")
    assert player.evaluate("v => [v.videoWidth, v.videoHeight]") == [640, 480]


def test_a_user_signs_in_and_comes_back_to_where_they_were(inside, page):
    server = inside(token="one two three four")
    page.goto(server.url + "/dashboard")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("Token").fill("one two three four")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="There is no store yet").wait_for()
    page.goto(server.url)
    page.click("#start")
    state(page, "live")


def test_the_dashboard_shows_what_was_posted(server, client, page):
    import time

    rows = [{"source": "hall", "label": "happiness", "at": time.time() - 60 - i, "person": i % 3} for i in range(40)]
    client.post("/api/readings", json=rows + [{"source": "small", "label": "fear"}] * 3).raise_for_status()
    page.goto(server.url + "/dashboard")
    page.locator("#cameras tr", has_text="hall").wait_for()
    assert "100 %" in page.locator("#cameras tr", has_text="hall").inner_text()
    assert "hidden" in page.locator("#cameras tr", has_text="small").inner_text()
    page.select_option("#span", "3600")
    page.select_option("#source", "hall")
    page.locator("#n", has_text="40").wait_for()
    assert page.inner_text("#people") == "3"
    page.locator("#shares canvas").wait_for()
    with page.expect_download() as saved:
        page.click("#export")
    assert saved.value.path().read_text().startswith("start,time,n,people")
    assert "Art. 5(1)(f)" in page.inner_text(".law")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_pass_an_accessibility_checker_and_fit(server, browser, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    for path in ("/", "/pictures", "/dashboard", "/docs", "/about"):
        page.goto(server.url + path, wait_until="networkidle")
        found = axe.run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.title().endswith("ferkit")
    context.close()
