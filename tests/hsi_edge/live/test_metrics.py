from __future__ import annotations

import math
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hsi_edge.live.metrics import metrics_text
from hsi_edge.live.status import RecordingStatus, StreamStatus
from tests.hsi_edge.live.viewer_source import ViewerPipeline


@pytest.fixture(scope="module")
def status():
    pipeline = ViewerPipeline(lr=2, ratio=2)
    pipeline.step()
    return pipeline.status()


def samples(status):
    families = list(text_string_to_metric_families(metrics_text(status).decode()))
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_the_text_is_what_a_prometheus_server_reads(status):
    families = list(text_string_to_metric_families(metrics_text(status).decode()))
    assert all(family.name.startswith("hsi_edge_") and family.documentation for family in families)
    assert len({family.name for family in families}) == len(families)
    for family in families:
        endings = {sample.name.endswith("_total") for sample in family.samples}
        assert endings <= {family.type == "counter"}, family.name


def test_times_are_seconds_and_sizes_bytes(status):
    found = samples(replace(status, recording=RecordingStatus(on=True, bytes_written=5_000, free_bytes=7)))
    assert found["hsi_edge_latency_seconds", "engine", "p50"] == pytest.approx(0.061)
    assert found["hsi_edge_deadline_seconds",] == 0.3
    assert found["hsi_edge_sensor_newest_age_seconds", "rgb"] == pytest.approx(0.021)
    assert found["hsi_edge_recording_written_bytes_total",] == 5_000
    assert found["hsi_edge_recording",] == 1


def test_mode_and_state_are_one_of_several(status):
    found = samples(replace(status, mode="single", rgb=StreamStatus(state="lost")))
    assert (found["hsi_edge_mode", "single"], found["hsi_edge_mode", "fusion"]) == (1, 0)
    assert found["hsi_edge_sensor_state", "lost", "rgb"] == 1
    assert found["hsi_edge_sensor_state", "rgb", "running"] == 0


def test_what_is_not_known_yet_is_left_out(status):
    found = samples(replace(status, mode=None, rgb=StreamStatus(), latencies={}))
    assert ("hsi_edge_sensor_newest_age_seconds", "rgb") not in found
    assert not [name for name, *_ in found if name == "hsi_edge_latency_seconds"]
    assert not any(math.isnan(value) for value in found.values())


def test_pixels_that_the_rgb_frame_did_not_measure_are_told(status):
    assert samples(replace(status, unmeasured_rgb_px=12))["hsi_edge_unmeasured_rgb_pixels",] == 12
