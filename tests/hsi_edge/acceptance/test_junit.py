"""JUnit XML, as a CI server's parser sees it."""

from __future__ import annotations

from xml.etree import ElementTree

from hsi_edge.acceptance.gate import Gate
from hsi_edge.acceptance.junit import junit_of
from tests.hsi_edge.acceptance.checks import accuracy, check_of, engine_check


def parsed(check):
    root = ElementTree.fromstring(junit_of(check))
    assert root.tag == "testsuites"
    (suite,) = root
    return suite


def test_each_limit_and_each_scene_is_one_case():
    suite = parsed(check_of(Gate(max_p50_ms=50.0), engine_check(accuracy=(accuracy("field"), accuracy("harbour")))))
    cases = [(case.get("classname"), case.get("name")) for case in suite.iter("testcase")]
    assert cases == [("gate", "no_lost_pixels"), ("gate", "max_p50_ms"), ("scene", "field"), ("scene", "harbour")]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "0")
    assert suite.find(".//failure") is None


def test_failures_are_counted_and_say_what_was_wanted():
    gate = Gate(max_p50_ms=1.0, max_energy_j=1.0, max_psnr_loss_db=0.001)
    suite = parsed(check_of(gate, engine_check(energy=None, energy_untold="no rail")))
    failures = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    assert {name for name, failure in failures.items() if failure is not None} == {
        "max_p50_ms",
        "max_energy_j",
        "max_psnr_loss_db",
        "field",
    }
    assert suite.get("failures") == "4"
    assert failures["max_energy_j"].get("type") == "not measured"
    assert "wanted at most 1 ms" in failures["max_p50_ms"].get("message")


def test_names_that_xml_cannot_hold_still_give_a_readable_document():
    nasty = "a\x00b\x1b[31m<&\"'\ud800"
    suite = parsed(check_of(Gate(max_p50_ms=50.0), engine_check(accuracy=(accuracy(nasty),)), host=nasty))
    name = [case.get("name") for case in suite.iter("testcase")][-1]
    assert name.startswith("a\ufffdb\ufffd[31m<&\"'")


def test_the_conditions_travel_with_the_result():
    suite = parsed(check_of(Gate(max_p50_ms=50.0), engine_check()))
    told = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert told["cpu"] == "A CPU"
    assert told["gate"] == "the file gate.yaml"
