"""The check as JUnit XML, which CI servers show: one test case per limit of the gate, and one per scene."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from hsi_edge.acceptance.check import Check
from hsi_edge.acceptance.judge import Verdict, scene_failures

# XML 1.0 holds no control characters, not even escaped ones; a scene's folder may be called anything.
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_of(check: Check) -> str:
    """The document as text."""
    first = check.engines[0]
    suite = Xml.Element("testsuite", name=_fit(f"hsi-edge check {first.model}"))
    properties = Xml.SubElement(suite, "properties")
    engine = {
        "engine": first.label,
        "device": first.device,
        "bundle sha256": first.fingerprint,
        "gate": check.gate_source,
    }
    for name, text in {**engine, **check.conditions.facts}.items():
        Xml.SubElement(properties, "property", name=_fit(name), value=_fit(text))
    failures = [_gate_case(suite, verdict) for verdict in check.verdicts]
    for accuracy in first.accuracy:
        case = Xml.SubElement(suite, "testcase", classname="scene", name=_fit(accuracy.scene), time="0")
        failures.append(_fail(case, "accuracy", "; ".join(scene_failures(check.gate, accuracy))))
    counts = {"tests": str(len(failures)), "failures": str(sum(failures)), "errors": "0", "skipped": "0", "time": "0"}
    suite.attrib.update(counts)
    suites = Xml.Element("testsuites", {"name": suite.attrib["name"], **counts})
    suites.append(suite)
    Xml.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(suites, encoding="unicode")}\n'


def _gate_case(suite: Xml.Element, verdict: Verdict) -> bool:
    case = Xml.SubElement(suite, "testcase", classname="gate", name=_fit(verdict.gate), time="0")
    passed = verdict.outcome == "passed"
    Xml.SubElement(case, "system-out").text = _fit(f"{verdict.what}: {verdict.measured}; wanted {verdict.wanted}")
    return _fail(
        case, verdict.outcome, "" if passed else f"{verdict.what}: {verdict.measured}; wanted {verdict.wanted}"
    )


def _fail(case: Xml.Element, kind: str, message: str) -> bool:
    if message:
        # The schema that CI servers follow has the failure before the output.
        failure = Xml.Element("failure", type=kind, message=_fit(message))
        failure.text = _fit(message)
        case.insert(0, failure)
    return bool(message)


def _fit(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)
