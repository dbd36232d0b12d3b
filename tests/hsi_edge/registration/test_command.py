from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from hsi_edge.errors import InputError
from hsi_edge.registration import command
from hsi_edge.registration.rig import read_rig

SAMPLES = Path(__file__).parents[3] / "apps" / "samples" / "salton_sea"
PAIR = [str(SAMPLES / "frame.hdr"), str(SAMPLES / "orthophoto.png")]


def register(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(one) for one in arguments]))


def test_register_says_the_estimate_in_words_and_writes_rig_and_report(tmp_path, capsys):
    register(*PAIR, "-o", tmp_path / "rig.yaml", "--model", "similarity", "--report", tmp_path / "report")
    rig = read_rig(tmp_path / "rig.yaml")
    assert rig.lr_shape == (51, 56)
    said = capsys.readouterr().out
    for words in (
        "RGB pixels per LR pixel: 10.5",
        "rotation: -0.",
        "PSF: ",
        "standard error: ",
        "explained: 9",
        "rig: ",
    ):
        assert words in said
    html = (tmp_path / "report" / "registration.html").read_text()
    assert html.count("<img") == 3
    again = tmp_path / "again.yaml"
    register(*PAIR, "-o", again, "--model", "similarity", "--start", tmp_path / "rig.yaml")
    np.testing.assert_allclose(read_rig(again).msi_from_lr, rig.msi_from_lr, atol=0.02)


def test_an_output_that_cannot_be_or_would_lose_an_input_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="make it first"):
        register(*PAIR, "-o", tmp_path / "no" / "rig.yaml")
    with pytest.raises(InputError, match="overwrite the input"):
        register(*PAIR, "-o", PAIR[0])
    with pytest.raises(InputError, match="in the way"):
        register(*PAIR, "-o", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="it is a file; choose another --report"):
        register(*PAIR, "-o", tmp_path / "rig.yaml", "--report", tmp_path / "file")


def test_a_spectral_frame_alone_is_not_enough(tmp_path):
    with pytest.raises(InputError, match=r"frame.hdr is alone; give the RGB frame .* or a recording"):
        register(PAIR[0], "-o", tmp_path / "rig.yaml")


def test_frames_in_the_wrong_order_are_refused_at_once(tmp_path):
    with pytest.raises(InputError, match=r"674 x 738 pixels, more than .* with 51 x 56; give the spectral frame first"):
        register(*reversed(PAIR), "-o", tmp_path / "rig.yaml")
    assert not (tmp_path / "rig.yaml").exists()
