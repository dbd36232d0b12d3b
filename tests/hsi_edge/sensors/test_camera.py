from __future__ import annotations

import threading
import time
import traceback

import cv2
import numpy as np
import pytest

from hsi_edge.errors import InputError, MissingPackageError, SensorError, SensorTimeout
from hsi_edge.host_clock import host_time_ns
from hsi_edge.sensors import grabbing
from hsi_edge.sensors.camera import (
    CsiCamera,
    CsiSettings,
    GStreamerCamera,
    GStreamerSettings,
    RtspCamera,
    RtspSettings,
    UsbCamera,
    UsbSettings,
)
from tests.hsi_edge.sensors.fake_time import FakeTime
from tests.hsi_edge.sensors.source_contract import Case

PICTURE = np.full((4, 6, 3), (1, 2, 3), np.uint8)  # blue, green, red
GSTREAMER_BUILD = "  Video I/O:\n    GStreamer:                   YES (1.20.3)\n"


class Driver:
    """Stands in for OpenCV and a camera's driver: makes captures whose grabs play a script, then block.

    A step is a picture, False (grab fails), "bad" (it cannot be decoded), "block", or an exception to raise.
    """

    def __init__(self, *steps, opens=True, times_ms=None):
        self.steps = list(steps)
        self.opens = opens
        self.times_ms = list(times_ms or [])
        self.unblocked = threading.Event()
        self.opened, self.set_to, self.released_by = [], [], []
        self.may_open = threading.Event()
        self.may_open.set()

    def __call__(self, target, backend, options):
        self.opened.append((target, backend, options))
        self.may_open.wait(10)
        return Capture(self)


class Capture:
    def __init__(self, driver):
        self.driver = driver
        self.picture = None

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return self.driver.opens

    def set(self, prop, value):
        self.driver.set_to.append((prop, value))
        return True

    def get(self, prop):
        return self.driver.times_ms.pop(0) if self.driver.times_ms else 0.0

    def grab(self):
        self.picture = self.driver.steps.pop(0) if self.driver.steps else "block"
        if isinstance(self.picture, Exception):
            raise self.picture
        if isinstance(self.picture, str) and self.picture == "block":
            self.driver.unblocked.wait(20)
            return False
        return self.picture is not False

    def retrieve(self):
        return (False, None) if isinstance(self.picture, str) else (True, self.picture.copy())

    def release(self):
        self.driver.released_by.append(threading.current_thread().name)


def contract_case(folder, stack):
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    source = UsbCamera(UsbSettings(source="usb"))
    permits = threading.Semaphore(0)

    class Paced(Capture):
        """Gives a picture when the last one was read, as a slow camera does."""

        def grab(self):
            while not source._stop.is_set():
                if not source._pictures._items and permits.acquire(timeout=0.01):
                    self.picture = PICTURE
                    time.sleep(0.001)
                    return True
            return False

    class Missing(Capture):
        def isOpened(self):  # noqa: N802 - OpenCV's name
            return False

    def make(target, backend, options):
        return Missing(Driver()) if target == 7 else Paced(Driver())

    patch.setattr(cv2, "VideoCapture", make)
    missing = UsbCamera(UsbSettings(source="usb", device=7))
    return Case(source=source, n_frames=3, ends=False, feed=lambda: permits.release(3), missing=missing)


@pytest.fixture
def play(monkeypatch):
    """Puts a driver in OpenCV's place; blocked grabs are let go in the end."""
    drivers = []
    monkeypatch.setattr(grabbing, "_CLOSE_S", 0.05)

    def play(*steps, **how):
        drivers.append(Driver(*steps, **how))
        monkeypatch.setattr(cv2, "VideoCapture", drivers[-1])
        return drivers[-1]

    yield play
    for driver in drivers:
        driver.unblocked.set()
        driver.may_open.set()
    for thread in threading.enumerate():
        if thread.name == "camera":
            thread.join(10)


@pytest.fixture
def usb():
    made = []

    def usb(**changes):
        clock = changes.pop("clock", host_time_ns)
        made.append(UsbCamera(UsbSettings(source="usb", **changes), clock))
        return made[-1]

    yield usb
    for source in made:
        source.close()


def until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("waited for 5 s in vain")


def lost(source):
    """The error of a camera that is lost."""
    for _ in range(50):
        try:
            source.read(0.1)
        except SensorTimeout:
            continue
        except SensorError as err:
            return str(err)
    return pytest.fail("it was not lost")


def test_the_newest_picture_wins_and_is_rgb(play, usb):
    play(*[PICTURE + 10 * index for index in range(5)])
    source = usb()
    source.open()
    until(lambda: source.dropped == 4)
    frame = source.read(1)
    assert frame.sequence == 4
    assert frame.data[0, 0].tolist() == [43, 42, 41]
    assert frame.timestamp_ns == frame.arrival_ns
    with pytest.raises(SensorTimeout, match="USB camera 0"):
        source.read(0.01)


def test_a_blocked_driver_is_a_timeout_then_lost_and_closing_does_not_wait_for_it(play, usb):
    driver = play(PICTURE, "block")
    fake = FakeTime()
    source = usb(clock=fake.now)
    source.open()
    source.read(5)
    with pytest.raises(SensorTimeout):
        source.read(0.01)
    fake.wait(11)
    with pytest.raises(SensorError, match="sent nothing for 10 s") as caught:
        source.read(0.01)
    assert not isinstance(caught.value, SensorTimeout)
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 2
    assert driver.released_by == []
    with pytest.raises(SensorError, match="its driver still holds the last attempt"):
        source.open()
    driver.unblocked.set()
    until(lambda: driver.released_by)
    driver.steps = [PICTURE]
    source.open()
    assert source.read(5).data.shape == (4, 6, 3)


def test_a_camera_that_goes_away_is_lost_and_its_own_thread_releases_it(play, usb):
    driver = play(PICTURE, False)
    source = usb()
    source.open()
    assert "USB camera 0 was lost: it gives no more frames" in lost(source)
    source.close()
    assert driver.released_by == ["camera"]
    driver.opens = False
    with pytest.raises(SensorError, match=r"USB camera 0 cannot be opened; (found|no camera is plugged in)"):
        source.open()


def test_a_bad_picture_leaves_a_gap_and_many_in_a_row_are_a_loss(play, usb):
    play("bad", PICTURE, "block")
    source = usb()
    source.open()
    assert source.read(5).sequence == 1
    source.close()
    play(*["bad"] * 30)
    source = usb()
    source.open()
    assert "30 bad frames in a row: it cannot be decoded" in lost(source)


def test_another_size_than_asked_for_is_an_error(play, usb):
    play(PICTURE)
    source = usb(width=1920, height=1080)
    source.open()
    assert "gives pictures of 6 x 4, not the width and height asked for" in lost(source)


def test_what_the_driver_raises_is_the_reason(play, usb):
    play(cv2.error("OpenCV: select failed"))
    source = usb()
    source.open()
    assert "select failed" in lost(source)


def test_a_camera_that_does_not_open_in_time_is_an_error(play, usb, monkeypatch):
    monkeypatch.setattr(grabbing, "_OPEN_S", 0.05)
    driver = play(PICTURE)
    driver.may_open.clear()
    source = usb()
    with pytest.raises(SensorError, match=r"did not open within 0.05 s"):
        source.open()
    driver.may_open.set()
    until(lambda: driver.released_by == ["camera"])


def test_the_format_is_set_before_the_size_that_it_allows(play, usb):
    driver = play(PICTURE)
    source = usb(width=6, height=4, fps=30.0, fourcc="MJPG", device="/dev/video3")
    source.open()
    source.read(5)
    assert driver.opened == [("/dev/video3", cv2.CAP_V4L2, [])]
    assert driver.set_to == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 6),
        (cv2.CAP_PROP_FRAME_HEIGHT, 4),
        (cv2.CAP_PROP_FPS, 30.0),
    ]
    with pytest.raises(InputError, match="fourcc"):
        usb(fourcc="MJPEG")


def test_times_of_the_stream_are_taken_where_asked_for_and_must_grow(play, usb):
    play(PICTURE, PICTURE, times_ms=[5.0, 38.5])
    source = usb(timestamps="stream")
    source.open()
    until(lambda: source.dropped == 1)
    assert source.read(5).timestamp_ns == 38_500_000
    source.close()
    play(*[PICTURE] * 31)
    source = usb(timestamps="stream")
    source.open()
    assert "its times do not grow; set timestamps: arrival" in lost(source)


def test_a_grey_camera_has_one_channel(play, usb):
    play(PICTURE[:, :, 0])
    source = usb()
    source.open()
    assert source.read(5).data.shape == (4, 6, 1)


SECRETS = [
    "rtsp://pilot:geheim@10.0.0.9:554/stream",
    "rtsp://pilot:ge/heim?geheim@10.0.0.9/stream",
    "rtsp://10.0.0.9/user=pilot&password=geheim",
    "rtsp://10.0.0.9/geheim?mail=pilot@geheim",
    "rtsps://geheim@[fe80::1]:322/",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_secret_in_the_url_is_never_shown(play, url, caplog):
    driver = play(opens=False)
    settings = RtspSettings(source="rtsp", url=url)
    source = RtspCamera(settings)
    texts = [repr(settings)]
    for steps, opens in ([], False), ([cv2.error(f"cannot read {url}")], True), ([False], True), (["block"], True):
        driver.steps, driver.opens = steps, opens
        try:
            source.open()
            for _ in range(20):
                try:
                    source.read(0.02)
                except SensorTimeout as err:
                    texts.append(str(err))
        except SensorError as err:
            texts.append("".join(traceback.format_exception(err)))
        driver.unblocked.set()
        source.close()
    assert len(texts) >= 5
    assert all("heim" not in text and "pilot" not in text for text in [*texts, caplog.text])


def test_opencv_itself_does_not_print_the_secret(capfd):
    """Against a port where nobody listens, with the real OpenCV."""
    source = RtspCamera(RtspSettings(source="rtsp", url="rtsp://pilot:geheim@127.0.0.1:1/stream"))
    with pytest.raises(SensorError, match=r"RTSP camera 127.0.0.1:1 cannot be opened; check address"):
        source.open()
    source.close()
    captured = capfd.readouterr()
    assert "geheim" not in captured.out + captured.err


def test_the_password_may_come_from_the_environment(play, monkeypatch):
    settings = RtspSettings(source="rtsp", url="rtsp://pilot:${CAMERA_PASSWORD}@10.0.0.9/s")
    with pytest.raises(InputError, match="CAMERA_PASSWORD, which is not set"):
        RtspCamera(settings)
    monkeypatch.setenv("CAMERA_PASSWORD", "geheim")
    driver = play(PICTURE)
    source = RtspCamera(settings)
    source.open()
    source.read(5)
    source.close()
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 5000]
    assert driver.opened == [("rtsp://pilot:geheim@10.0.0.9/s", cv2.CAP_FFMPEG, timeouts)]


def test_what_is_no_rtsp_url_is_refused_without_showing_it():
    with pytest.raises(InputError, match="does not start with rtsp://") as caught:
        RtspCamera(RtspSettings(source="rtsp", url="pilot:geheim@10.0.0.9"))
    assert "geheim" not in str(caught.value)


def test_an_opencv_without_gstreamer_says_what_to_do(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:                   NO\n")
    for source in (
        CsiCamera(CsiSettings(source="csi")),
        GStreamerCamera(GStreamerSettings(source="gstreamer", pipeline="videotestsrc ! appsink")),
    ):
        with pytest.raises(MissingPackageError, match=r"On a Jetson .* python3-opencv"):
            source.open()


def test_a_csi_camera_is_opened_by_its_pipeline(play, monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: GSTREAMER_BUILD)
    driver = play(PICTURE)
    source = CsiCamera(CsiSettings(source="csi", sensor_id=1, width=1280, height=720, fps=60, flip=2))
    source.open()
    source.read(5)
    source.close()
    ((pipeline, backend, _),) = driver.opened
    assert backend == cv2.CAP_GSTREAMER
    assert pipeline == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=(int)1280, height=(int)720, "
        "framerate=(fraction)60/1, format=(string)NV12 ! nvvidconv flip-method=2 ! video/x-raw, format=(string)BGRx ! "
        "videoconvert ! video/x-raw, format=(string)BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def test_a_pipeline_without_appsink_and_an_impossible_mode_are_refused():
    with pytest.raises(InputError, match="no appsink"):
        GStreamerCamera(GStreamerSettings(source="gstreamer", pipeline="videotestsrc ! fakesink"))
    for change in ({"width": 0}, {"flip": 8}, {"sensor_id": -1}, {"fps": 0}):
        with pytest.raises(InputError, match="no CSI camera"):
            CsiCamera(CsiSettings(source="csi", **change))


def test_a_pipeline_with_a_password_is_not_shown(play, monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: GSTREAMER_BUILD)
    play(opens=False)
    settings = GStreamerSettings(source="gstreamer", pipeline="rtspsrc user-pw=geheim ! appsink")
    with pytest.raises(SensorError, match="rtspsrc") as caught:
        GStreamerCamera(settings).open()
    assert "geheim" not in str(caught.value) + repr(settings)
