from __future__ import annotations

import json

from hsi_edge.live.digest import digest
from hsi_edge.live.telemetry import TELEMETRY_SCHEMA, telemetry
from tests.hsi_edge.live.live_results import made_result


def test_telemetry_says_how_a_result_was_made_and_of_which_frames_in_plain_json():
    result = made_result(7)
    told = json.loads(json.dumps(telemetry(result), allow_nan=False))
    assert (told["number"], told["mode"], told["timestamp_ns"]) == (7, "fusion", result.timestamp_ns)
    assert told["pair"]["spectral"]["sequence"] == 7
    assert told["pair"]["rgb"]["arrival_ns"] == result.pair.rgb.arrival_ns
    assert told["refinement"]["dy_lr"] == -0.02
    assert told["timings_ms"]["engine"] == 20.25
    assert told["check"] == {"spectral": 1.25, "rgb": None, "flagged": True, "reasons": ["odd"]}  # NaN became null
    assert told["report"]["bundle"] == "regression"
    assert told["digest"] == digest(result)
    assert told["withheld"] is False


def test_a_result_of_the_spectral_frame_alone_has_no_rgb_frame_and_says_why():
    told = telemetry(made_result(rgb=False))
    assert (told["pair"]["rgb"], told["refinement"], told["mode"]) == (None, None, "single")
    assert told["reason"] == told["pair"]["lack"] == "the RGB camera is lost"


def test_the_schema_names_every_key():
    assert set(telemetry(made_result())) == set(TELEMETRY_SCHEMA["properties"])
