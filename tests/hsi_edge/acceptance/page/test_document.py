"""The page that a manager reads: the verdict first, nothing loaded, nothing hidden."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from hsi_edge.acceptance.gate import Gate
from hsi_edge.acceptance.page.document import page_of, verdict_sentence
from hsi_edge.acceptance.result import Curve, Soak
from tests.hsi_edge.acceptance.checks import accuracy, check_of, engine_check, scores

VOID = {"meta", "img", "br", "circle", "polyline", "line"}


class Reader(HTMLParser):
    """Checks that tags close in order, and collects the text."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(check):
    html = page_of(check)
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return html, reader, " ".join(" ".join(reader.words).split())


def test_a_pass_is_one_sentence_on_top():
    check = check_of(Gate(max_p50_ms=50.0), engine_check())
    assert verdict_sentence(check) == (
        "Passed: tiny with openvino fp32 on A CPU meets all 2 limits of its gate; a frame takes 25.1 ms, and 99 of 100 "
        "take at most 30 ms."
    )
    html, _, text = read(check)
    assert "verdict passed" in html
    assert text.index("Passed: tiny") < text.index("Gate")


def test_a_failure_names_every_limit_that_was_missed():
    check = check_of(Gate(max_p50_ms=1.0, max_energy_j=1.0), engine_check(energy=None, energy_untold="no rail"))
    sentence = verdict_sentence(check)
    assert sentence.startswith("Failed: tiny with openvino fp32 on A CPU misses 2 of 3 limits of its gate: ")
    assert "latency, median: 25.05 ms (100 frames), wanted at most 1 ms" in sentence
    assert "energy per frame: not measured: no rail" in sentence
    html, _, _ = read(check)
    assert "verdict failed" in html


def test_the_page_loads_nothing_and_runs_nothing():
    html, reader, _ = read(check_of(Gate(max_p50_ms=50.0), engine_check()))
    assert not reader.tags & {"script", "link", "iframe", "img"}
    assert not re.search(r"(src|href)=|url\(|https?://", html)


def test_names_from_files_are_text_and_not_html():
    nasty = "<script>alert(1)</script>"
    engine = engine_check(label=nasty, model=nasty, device=nasty, accuracy=(accuracy(nasty, warnings=(nasty,)),))
    _, reader, text = read(check_of(Gate(max_p50_ms=50.0), engine, host=nasty))
    assert "script" not in reader.tags
    assert nasty in text


def test_every_number_has_its_conditions_and_doubts():
    _, _, text = read(check_of(Gate(max_p50_ms=50.0), engine_check()))
    for words in ("How far the numbers can be trusted", "The machine was busy.", "NVML no driver", "4 of 64 × 64"):
        assert words in text


@pytest.mark.parametrize("energy", [None, engine_check().energy])
def test_power_that_is_not_told_is_never_shown_as_zero(energy):
    _, _, text = read(check_of(Gate(max_p50_ms=50.0), engine_check(energy=energy, energy_untold="no power is told")))
    assert ("no power is told" in text) == (energy is None)
    assert ("0.5 J" in text) == (energy is not None)
    assert " 0 J" not in text


def test_two_engines_stand_side_by_side():
    other = engine_check(label="tiny, openvino int8", precision="int8", energy=None, energy_untold="no rail")
    _, _, text = read(check_of(Gate(max_p50_ms=50.0), engine_check(), other))
    assert "beside tiny, openvino int8" in text
    assert text.count("tiny, openvino int8") > 4


def test_an_output_that_is_all_lost_still_makes_a_page():
    lost = accuracy(lost_px=3072, to_fp32=None, to_truth=None, fp32_to_truth=None)
    _, _, text = read(check_of(Gate(max_p50_ms=50.0), engine_check(accuracy=(lost,))))
    assert "no pixel is left" in text


def test_an_exact_output_and_a_truth_of_unknown_bands_make_a_page():
    exact = accuracy(wavelengths_nm=(), to_fp32=scores(psnr_db=float("inf"), worst_band_rmse=0.0))
    _, _, text = read(check_of(Gate(max_p50_ms=50.0), engine_check(accuracy=(exact,))))
    assert "exact" in text
    assert "(band 3)" in text


def test_a_soak_is_drawn_as_curves():
    engine = engine_check()
    curves = tuple(
        Curve(name=f"zone {n}", unit=unit, times_s=(0.0, 30.0, 60.0), values=(40.0, 50.0, 60.0))
        for unit, count in (("°C", 6), ("ms", 2))
        for n in range(count)
    )
    soaked = replace(engine, soak=Soak(minutes=1.0, latency=engine.latency, curves=curves))
    html, _, text = read(check_of(Gate(max_p50_ms=50.0), soaked))
    plain, _, _ = read(check_of(Gate(max_p50_ms=50.0), engine))
    assert "1 minutes, 100 frames" in text
    # Six temperatures do not fit one drawing.
    assert html.count('<svg viewBox="0 0 520') == plain.count('<svg viewBox="0 0 520') + 3
