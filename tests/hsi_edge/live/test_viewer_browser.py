"""The viewer's page in a real browser: Chromium without a window, steered by Selenium."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from hsi_edge.live.status import StreamStatus
from hsi_edge.live.viewer import Viewer, ViewerSettings
from tests.hsi_edge.live.viewer_source import RGB_LOST, WAVELENGTHS_NM, Flying, ViewerPipeline

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
TABLET, UPRIGHT, PHONE = (1024, 768), (800, 1280), (390, 844)
WAIT_S = 15


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def pipeline():
    return ViewerPipeline()


@pytest.fixture
def page(browser, pipeline):
    """The page of a pipeline in flight, with a picture on it."""
    with Flying(pipeline) as flight, Viewer(ViewerSettings(address="127.0.0.1:0"), pipeline) as viewer:
        page = Page(browser, viewer.url, flight)
        page.size(TABLET)
        browser.get(viewer.url)
        page.until("a picture", "return viewer.now.frame !== null")
        yield page
        complaints = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        browser.get("about:blank")
    assert complaints == []


class Page:
    """What a visitor sees and does."""

    def __init__(self, browser, url, flight):
        self.browser, self.url, self.flight = browser, url, flight

    def js(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def until(self, what, script, *arguments):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, WAIT_S, 0.05).until(
            lambda _: self.js(script, *arguments), f"waited for {what}"
        )

    def find(self, css):
        return self.browser.find_element("css selector", css)

    def text(self, css):
        return self.find(css).text

    def until_text(self, css, wanted):
        self.until(
            f"{wanted!r} in {css}",
            "return document.querySelector(arguments[0]).textContent.includes(arguments[1])",
            css,
            wanted,
        )

    def size(self, size):
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False},
        )

    def spot(self, x, y):
        """Offsets of a pixel of the fused frame from the middle of the stage, for the mouse."""
        box, (rows, cols) = self.find("#stage").rect, self.js("return [viewer.stage.rows, viewer.stage.cols]")
        return round((x + 0.5) / cols * box["width"] - box["width"] / 2), round(
            (y + 0.5) / rows * box["height"] - box["height"] / 2
        )

    def actions(self):
        from selenium.webdriver.common.action_chains import ActionChains

        return ActionChains(self.browser, duration=40)

    def click(self, x, y):
        self.actions().move_to_element_with_offset(self.find("#stage"), *self.spot(x, y)).click().perform()

    def drag(self, start, end):
        (x0, y0), (x1, y1) = self.spot(*start), self.spot(*end)
        stage = self.find("#stage")
        self.actions().move_to_element_with_offset(stage, x0, y0).click_and_hold().move_by_offset(
            x1 - x0, y1 - y0
        ).release().perform()

    def hold(self):
        """Stop the flight: what is on the page from now on is the newest result."""
        self.flight.paused.set()
        self.until("the last picture", "return viewer.now.frame.number === arguments[0]", self.flight.pipeline.number)

    def choose(self, name, value):
        from selenium.webdriver.support.ui import Select

        Select(self.find(f"#{name}")).select_by_value(value)

    def pins(self, count):
        self.until(
            f"{count} spectra", "return viewer.spectra.pins.filter(pin => pin.found).length === arguments[0]", count
        )
        return self.js("return viewer.spectra.pins")

    def colour(self, canvas="fused"):
        """The mean colour of the picture."""
        return np.array(
            self.js(
                "const c = document.getElementById(arguments[0]);"
                "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const s = [0, 0, 0];"
                "for (let i = 0; i < d.length; i += 4) for (let k = 0; k < 3; k++) s[k] += d[i + k];"
                "return s.map(v => 4 * v / d.length)",
                canvas,
            )
        )

    def until_painted(self, canvas):
        from selenium.webdriver.support.ui import WebDriverWait

        # The words are there at once, the picture when it is decoded.
        WebDriverWait(self.browser, WAIT_S, 0.05).until(
            lambda _: self.colour(canvas).any(), f"waited for a picture on {canvas}"
        )

    def shoot(self, name):
        if folder := os.environ.get("HSI_EDGE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.save_screenshot(str(Path(folder, f"{name}.png")))


def test_pictures_appear_and_follow_each_other(page):
    first = page.js("return viewer.now.frame.number")
    page.until("more pictures", "return viewer.now.frame.number > arguments[0] + 3", first)
    page.until_text("#mode", "Fusion")
    assert page.colour().min() > 10
    assert page.text("#sensor-words") == "Sensor 32 × 32"
    assert page.text("#banners") == ""
    page.shoot("fusion")


def test_a_click_shows_the_sensors_and_the_fused_spectrum_of_that_pixel(page):
    page.hold()
    page.click(101, 77)
    (pin,) = page.pins(1)
    x, y = pin["area"]["left"], pin["area"]["top"]
    assert abs(x - 101) <= 1
    assert abs(y - 77) <= 1
    result = page.flight.pipeline.latest()
    np.testing.assert_allclose(pin["found"]["fused"]["mean"], result.hr_hsi.data[y, x], rtol=1e-5)
    np.testing.assert_allclose(pin["found"]["sensor"]["mean"], result.lr_hsi.data[y // 8, x // 8], rtol=1e-5)
    label = "(document.getElementById('plot').getAttribute('aria-label') || '')"
    page.until("the plot in words", f"return {label}.includes('at 400 nm')")
    spoken = page.find("#plot").get_attribute("aria-label")
    first = float(re.search(r"fused ([\d.]+) at 400 nm", spoken)[1])
    assert first == pytest.approx(result.hr_hsi.data[y, x, 0], rel=0.01)
    assert page.js("return viewer.spectra.plot.data[0]") == WAVELENGTHS_NM.tolist()


def test_a_drag_shows_mean_and_spread_and_earlier_spectra_stay(page):
    page.hold()
    page.click(30, 200)
    page.drag((40, 60), (71, 99))
    _, pin = page.pins(2)
    area = pin["area"]
    part = (
        page.flight.pipeline.latest()
        .hr_hsi.data[area["top"] : area["bottom"], area["left"] : area["right"]]
        .reshape(-1, 31)
    )
    assert len(part) > 900
    np.testing.assert_allclose(pin["found"]["fused"]["mean"], part.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(pin["found"]["fused"]["std"], part.std(axis=0), rtol=1e-3)
    page.flight.paused.clear()
    page.click(200, 30)
    page.pins(3)
    page.shoot("spectra")
    page.find("#pins button").click()
    page.pins(2)
    page.find("#clear").click()
    page.pins(0)


def test_the_handle_moves_the_border_between_sensor_and_fused(page):
    width = page.find("#stage").rect["width"]
    page.actions().drag_and_drop_by_offset(page.find("#handle"), width / 4, 0).perform()
    assert int(page.find("#handle").get_attribute("aria-valuenow")) == pytest.approx(75, abs=2)
    assert page.js("return viewer.spectra.pins.length") == 0
    page.shoot("slider")
    from selenium.webdriver.common.keys import Keys

    page.find("#handle").send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    assert page.find("#handle").get_attribute("aria-valuenow") == "5"


def test_other_bands_and_an_index_can_be_chosen(page):
    page.find("[data-show=infrared]").click()
    page.until("infrared", "return viewer.now.frame.legend.bands?.join() === '20,13,7'")
    red, green, _ = page.colour()
    assert red > green  # plants are red in colour-infrared
    page.shoot("infrared")
    page.find("[data-show=bands]").click()
    page.js("const s = document.querySelector('.red input'); s.value = 30; s.dispatchEvent(new Event('input'))")
    page.until("the chosen band", "return viewer.now.frame.legend.bands?.[0] === 30")
    assert page.text(".red output") == "1000 nm"
    page.shoot("bands")
    page.choose("index", "ndvi")
    page.until("NDVI", "return viewer.now.frame.legend.index === 'ndvi'")
    page.until_text("#legend", "NDVI")
    page.shoot("ndvi")
    assert page.js("return [...document.getElementById('index').options].find(o => o.value === 'ndmi').disabled")


def test_the_self_check_lies_over_the_picture_with_its_legend(page):
    for overlay, words in (("residual", "residual / bound"), ("confidence", "doubtful")):
        page.choose("overlay", overlay)
        page.until_text("#legend", words)
        page.until_painted("over")
        assert page.colour("over").max() > 30
        page.shoot(overlay)


def test_a_lost_rgb_camera_is_said_in_a_banner_and_its_return_too(page):
    page.flight.pipeline.change(
        rgb=StreamStatus(
            state="lost", frames=3700, newest_age_ms=2400.0, reopened=2, error="cannot open /dev/video0: No such device"
        )
    )
    page.flight.options = {"mode": "single", "reason": RGB_LOST}
    page.until_text("#banners", RGB_LOST)
    page.until_text("#mode", "Single")
    page.until_text("#health", "Degraded")
    page.until_text("#fused-words", "Sensor alone")
    page.shoot("rgb-lost")
    page.flight.options = {}
    page.until_text("#mode", "Fusion")
    page.until("no banner", "return document.getElementById('banners').textContent === ''")


def test_a_flagged_frame_says_why(page):
    doubt = "the spectral residual is 3.4 times the sensor's noise; at most 2.5 is allowed"
    page.choose("overlay", "confidence")
    page.flight.options = {"doubts": (doubt,)}
    page.until_text("#banners", doubt)
    page.until_text("#mode", "Doubtful")
    page.shoot("flagged")


def test_a_lost_spectral_sensor_leaves_a_grey_picture_with_its_age(page):
    page.flight.paused.set()
    page.flight.pipeline.change(
        spectral=StreamStatus(state="lost", frames=1240, newest_age_ms=1800.0, error="no frame for 1.5 s")
    )
    page.until_text("#banners", "Spectral sensor lost")
    page.until_text("#stale", "old")
    page.until(
        "an age that grows",
        r"return /^[1-9][.\d]* s$/.test(document.getElementById('age').textContent)",
    )
    assert "grayscale" in page.js("return getComputedStyle(document.getElementById('fused')).filter")
    page.until_text("#health", "Failing")
    page.shoot("spectral-lost")


def test_a_pause_beyond_the_deadline_is_visibly_stale_and_ends_with_the_next_picture(page):
    page.hold()
    page.until_text("#mode", "Stale")
    page.until_text("#banners", "Nothing newer")
    page.flight.paused.clear()
    page.until_text("#mode", "Fusion")
    assert not page.find("#stale").is_displayed()


def test_the_record_button_starts_and_stops_and_shows_what_the_recorder_says(page):
    page.find("#record").click()
    page.until("recording", "return document.getElementById('record').getAttribute('aria-pressed') === 'true'")
    page.until_text("#record-words", "Stop · 8 MB")
    page.shoot("recording")
    page.find("#record").click()
    page.until_text("#record-words", "Record")
    assert page.flight.pipeline.asked_recording == [True, False]


def test_a_recorder_that_refuses_says_why(page):
    page.flight.pipeline.recording_error = "the disk at /var/lib/hsi-edge is full; free some space"
    page.find("#record").click()
    page.until_text("#banners", "is full")
    # The refusal is an answer 409, which the browser logs as an error.
    page.browser.get_log("browser")


def test_a_lost_connection_is_said_and_mended(browser, pipeline):
    with Flying(pipeline) as flight:
        with Viewer(ViewerSettings(address="127.0.0.1:0"), pipeline) as viewer:
            page = Page(browser, viewer.url, flight)
            page.size(TABLET)
            browser.get(viewer.url)
            page.until("a picture", "return viewer.now.frame !== null")
            port = int(viewer.url.rstrip("/").rpartition(":")[2])
        page.until_text("#banners", "No connection")
        page.until_text("#mode", "Stale")
        page.shoot("no-connection")
        with Viewer(ViewerSettings(address=f"127.0.0.1:{port}"), pipeline):
            page.until_text("#mode", "Fusion")
            browser.get("about:blank")
    browser.get_log("browser")


def test_a_visit_with_the_token_leaves_none_in_the_address(browser, pipeline):
    token = "correct horse battery staple"
    with Flying(pipeline) as flight, Viewer(ViewerSettings(address="127.0.0.1:0", token=token), pipeline) as viewer:
        page = Page(browser, viewer.url, flight)
        browser.get(f"{viewer.url}?token={token}")
        page.until("a picture", "return viewer.now.frame !== null")
        assert browser.current_url == viewer.url
        browser.get(viewer.url)
        page.until("a picture", "return viewer.now.frame !== null")
        assert page.js("return document.cookie") == ""
        browser.get("about:blank")
        browser.delete_all_cookies()


@pytest.mark.parametrize(("name", "size"), [("tablet", TABLET), ("upright", UPRIGHT), ("phone", PHONE)])
def test_the_page_fits_and_every_control_is_big_enough_for_a_finger(page, name, size):
    page.size(size)
    page.find("[data-show=bands]").click()
    page.hold()
    page.click(60, 60)
    page.pins(1)
    page.flight.paused.clear()
    page.until_text("#mode", "Fusion")
    page.shoot(f"fits-{name}")
    assert page.js("return document.documentElement.scrollWidth <= innerWidth")
    small = page.js(
        "return [...document.querySelectorAll('button, select, input')].filter(e => e.offsetParent)"
        ".map(e => [e.id || e.textContent || e.ariaLabel, e.offsetWidth, e.offsetHeight])"
        ".filter(([, w, h]) => w < 44 || h < 44)"
    )
    assert small == []
    page.find("#theme").click()
    page.shoot(f"dark-{name}")
    assert page.js("return document.documentElement.dataset.theme") == "dark"
    page.find("#theme").click()


def test_everything_can_be_done_with_keys(page):
    from selenium.webdriver.common.keys import Keys

    page.hold()
    page.find("#stage").send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.ENTER)
    (pin,) = page.pins(1)
    assert (pin["area"]["left"], pin["area"]["top"]) == (124, 124)
    page.find("[data-show=natural]").send_keys(Keys.ARROW_RIGHT)
    page.until("infrared", "return viewer.connection.view.show === 'infrared'")
