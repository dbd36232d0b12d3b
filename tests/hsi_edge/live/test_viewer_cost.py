"""What the viewer takes of the processor beyond the pipeline: `pytest -s tests/hsi_edge/live/test_viewer_cost.py`."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

import pytest

from hsi_edge.live.viewer import Viewer, ViewerSettings
from hsi_edge.live.viewer.pictures import Painter
from hsi_edge.live.viewer.view import View
from tests.hsi_edge.live.viewer_source import ViewerPipeline

pytestmark = pytest.mark.slow

FPS, SECONDS, TRIES = 10, 3.0, 4
LARGEST_RATIO = 2.5
"""Of a picture on a page to the mere painting of it: a frame's choosing, sending and bookkeeping beside it."""

CLIENT = """
import json, sys
from websockets.sync.client import connect
url, seconds = sys.argv[1], float(sys.argv[2])
import time
end, after, frames = time.monotonic() + seconds, -1, 0
with connect(url.replace("http", "ws") + "live", origin=url.rstrip("/"), compression=None) as page:
    while time.monotonic() < end:
        page.send(json.dumps({"ask": "next", "wish": 0, "after": after, "view": {"show": "natural"}}))
        message = page.recv()
        if isinstance(message, str) and '"say":"scene"' in message:
            message = page.recv()
        if isinstance(message, bytes):
            after = json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])["number"]
            frames += 1
print(frames)
"""


def busy_s(pipeline, results, seconds):
    """Processor time of this process while results come at 10 per second."""
    start, busy = time.perf_counter(), time.process_time()
    count = 0
    while (now := time.perf_counter() - start) < seconds:
        if now * FPS >= count:
            pipeline.publish(replace(results[count % len(results)], number=pipeline.number + 1))
            count += 1
        time.sleep(0.005)
    return time.process_time() - busy


def painting_s(results):
    """Processor time of one picture's painting, at a page's pace, at which caches and clocks are as cold as there."""
    painter, spent = Painter(), []
    for number in range(2 * FPS):
        time.sleep(1 / FPS)
        busy = time.process_time()
        painter.paint(results[number % len(results)], View())
        spent.append(time.process_time() - busy)
    return median(spent)


def test_a_picture_on_a_page_costs_little_more_than_its_painting():
    pipeline = ViewerPipeline(64, 8)
    results = [pipeline.step() for _ in range(4)]
    assert results[0].hr_hsi.data.shape == (512, 512, 31)
    ratios, shares, frames = [], [], []
    with Viewer(ViewerSettings(address="127.0.0.1:0"), pipeline) as viewer:
        for _ in range(TRIES):
            # All three side by side: a machine may be slower than it was a moment ago.
            alone, painting = busy_s(pipeline, results, SECONDS + 1), painting_s(results)
            command = [sys.executable, "-c", CLIENT, viewer.url, str(SECONDS)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
                spent = busy_s(pipeline, results, SECONDS + 1) - alone
                frames.append(int(client.stdout.read()))
            ratios.append(spent / frames[-1] / painting)
            shares.append(spent / SECONDS)
            if ratios[-1] <= LARGEST_RATIO:
                break
    print(  # noqa: T201 - what it is run for
        f"times the painting: {ratios}, share of one core: {shares}, frames in {SECONDS:g} s: {frames}"
    )
    assert min(frames) >= 0.8 * FPS * SECONDS
    assert min(ratios) <= LARGEST_RATIO
