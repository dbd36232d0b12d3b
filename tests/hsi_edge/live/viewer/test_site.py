"""What the viewer answers, without a network."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.websockets import WebSocketDisconnect

from hsi_edge.live.status import StreamStatus
from hsi_edge.live.viewer.settings import ViewerSettings, checked_place
from hsi_edge.live.viewer.site import make_site
from tests.hsi_edge.live.viewer_source import ViewerPipeline

with warnings.catch_warnings():
    # Newer ones want a successor of httpx, and take httpx as well.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

HOME, LIVE = "http://127.0.0.1:8080", "ws://127.0.0.1:8080/live"
TOKEN = "correct horse battery staple"
NEXT = {"ask": "next", "wish": 0, "after": -1, "view": {"show": "natural"}}


@pytest.fixture
def pipeline():
    pipeline = ViewerPipeline(lr=8, ratio=4)
    pipeline.step()
    return pipeline


def visitor(pipeline, **settings):
    chosen = ViewerSettings(**settings)
    return TestClient(make_site(chosen, checked_place(chosen), pipeline), base_url=HOME)


@pytest.fixture
def client(pipeline):
    with visitor(pipeline) as client:
        yield client


def live(client, **headers):
    return client.websocket_connect(LIVE, headers={"origin": HOME, **headers})


def frame(page):
    """The next frame's header and its pictures."""
    while "bytes" not in (message := page.receive()):
        pass
    length = int.from_bytes(message["bytes"][:4], "little")
    header = json.loads(message["bytes"][4 : 4 + length])
    pictures, offset = {}, 4 + length
    for name, kind, size in header["pictures"]:
        pictures[name] = (kind, message["bytes"][offset : offset + size])
        offset += size
    assert offset == len(message["bytes"])
    return header, pictures


def test_the_page_loads_nothing_from_elsewhere_and_nobody_may_embed_or_read_it(client):
    for path in ("/", "/static/viewer.js", "/static/uPlot.iife.min.js", "/healthz", "/metrics", "/nothing"):
        answer = client.get(path, headers={"origin": "http://evil.example"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    page = client.get("/").text
    assert "http://" not in page
    assert "https://" not in page
    assert "<style" not in page
    assert 'style="' not in page


def test_every_file_that_the_page_names_is_there_with_its_licence(client):
    page = client.get("/").text
    names = [part.partition('"')[0] for part in page.split('"/static/')[1:]]
    assert {"viewer.js", "viewer.css", "uPlot.iife.min.js", "uPlot.min.css"} <= set(names)
    for name in [*names, "uPlot.LICENSE", "connection.js", "stage.js", "spectra.js", "health.js"]:
        assert client.get(f"/static/{name}").status_code == 200, name
    assert client.get("/static/viewer.js").headers["content-type"].startswith("text/javascript")
    for outside in ("/static/..%2Fserver.py", "/static/../server.py", "/static/"):
        assert client.get(outside).status_code == 404


def test_another_name_for_this_machine_is_refused(client):
    answer = client.get("/", headers={"host": "evil.example:8080"})
    assert answer.status_code == 421
    assert "does not answer to the name" in answer.text
    with pytest.raises(WebSocketDisconnect), live(client, host="evil.example", origin="http://evil.example"):
        pass


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://127.0.0.1:9999"])
def test_another_sites_page_can_neither_watch_nor_press_the_button(client, pipeline, origin):
    headers = {} if origin is None else {"origin": origin}
    assert client.post("/recording", json={"on": True}, headers=headers).status_code == 403
    assert pipeline.asked_recording == []
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(LIVE, headers=headers):
        pass


def test_without_the_token_there_is_nothing_to_see(pipeline):
    with visitor(pipeline, token=TOKEN) as client:
        for path in ("/", "/static/viewer.js", "/metrics", "/healthz", "/?token=wrong", "/?token="):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert "?token=YOUR-TOKEN" in answer.text
            assert "set-cookie" not in answer.headers
        with pytest.raises(WebSocketDisconnect), live(client):
            pass
        assert client.post("/recording", json={"on": True}, headers={"origin": HOME}).status_code == 401


def test_the_token_in_the_address_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(pipeline):
    with visitor(pipeline, token=TOKEN) as client:
        cookie = client.get("/", params={"token": TOKEN}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/").status_code == 200
        with live(client) as page:
            page.send_json(NEXT)
            assert frame(page)[0]["number"] == 0


def test_a_scraper_gives_the_token_as_a_bearer(pipeline):
    with visitor(pipeline, token=TOKEN) as client:
        assert client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_a_frame_comes_with_its_pictures_facts_and_status(client, pipeline):
    with live(client) as page:
        page.send_json({**NEXT, "wish": 7, "view": {"show": "ndvi", "overlay": "residual"}})
        scene = json.loads(page.receive()["text"])
        assert (scene["rows"], scene["cols"], scene["ratio"], len(scene["wavelengths_nm"])) == (32, 32, 4, 31)
        header, pictures = frame(page)
        assert (header["wish"], header["number"], header["mode"], header["flagged"]) == (7, 0, "fusion", False)
        assert header["legend"]["index"] == "ndvi"
        assert header["age_ms"] >= 92
        assert header["status"]["spectral"]["state"] == "running"
        assert {name: kind for name, (kind, _) in pictures.items()} == dict.fromkeys(
            ("sensor", "fused", "overlay"), "image/png"
        )


def test_the_same_frame_is_not_sent_twice_but_the_status_is(client, pipeline):
    with live(client) as page:
        page.send_json(NEXT)
        frame(page)
        page.send_json({**NEXT, "after": 0})
        assert json.loads(page.receive()["text"])["say"] == "status"
        page.send_json({**NEXT, "after": 0})
        pipeline.step(mode="single", reason="the RGB camera is lost")
        header, _ = frame(page)
        assert (header["number"], header["mode"], header["reason"]) == (1, "single", "the RGB camera is lost")


def test_a_lost_spectral_sensor_makes_the_picture_stale_at_once(client, pipeline):
    pipeline.change(spectral=StreamStatus(state="lost"))
    with live(client) as page:
        page.send_json({**NEXT, "after": 9})
        said = json.loads(page.receive()["text"])
        assert said["status"]["stale_after_ms"] == 0
        assert said["status"]["health"]["state"] == "failing"


def test_spectra_are_of_the_frame_that_was_asked_for_while_it_is_kept(client, pipeline):
    ask = {"ask": "spectra", "request": 5, "number": 0, "area": {"left": 3, "top": 4, "right": 4, "bottom": 5}}
    with live(client) as page:
        page.send_json(NEXT)
        frame(page)
        first = pipeline.latest()
        pipeline.step()
        page.send_json({**NEXT, "after": 0})
        frame(page)
        page.send_json(ask)
        found = json.loads(page.receive()["text"])
        assert (found["request"], found["number"]) == (5, 0)
        assert found["fused"]["mean"] == pytest.approx(first.hr_hsi.data[4, 3].tolist(), rel=1e-5)
        page.send_json({**ask, "area": {"left": 3, "top": 4, "right": 400, "bottom": 5}})
        assert "beyond the frame" in json.loads(page.receive()["text"])["why"]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"ask": "all"}',
        '{"ask": "next"}',
        json.dumps({**NEXT, "view": {"show": 3}}),
        "[" * 900,
    ],
)
def test_a_client_that_speaks_nonsense_is_shown_the_door(client, wrong):
    with live(client) as page:
        page.send_text(wrong)
        with pytest.raises(WebSocketDisconnect) as left:
            page.receive_text()
        assert left.value.code == 1007


def test_a_flood_of_messages_ends_the_visit(client):
    with live(client) as page:
        for _ in range(100):
            page.send_json({**NEXT, "after": 9})
        with pytest.raises(WebSocketDisconnect) as left:
            receive_forever(page)
        assert (left.value.code, "too many messages" in left.value.reason) == (1008, True)


def test_one_page_too_many_is_told_so_and_let_in_when_another_leaves(pipeline):
    with visitor(pipeline, clients=2) as client:
        with live(client), live(client):
            with live(client) as third, pytest.raises(WebSocketDisconnect) as left:
                third.receive_text()
            assert left.value.code == 1013
            assert "2 pages are open already" in left.value.reason
        with live(client) as page:
            page.send_json(NEXT)
            assert frame(page)[0]["number"] == 0


def test_equal_views_share_one_picture(client, pipeline, monkeypatch):
    from hsi_edge.live.viewer.pictures import Painter

    painted = []
    paint = Painter.paint
    monkeypatch.setattr(Painter, "paint", lambda self, result, view: painted.append(view) or paint(self, result, view))
    with live(client) as one, live(client) as two, live(client) as three:
        for page, show in ((one, "natural"), (two, "natural"), (three, "ndvi")):
            page.send_json({**NEXT, "view": {"show": show}})
            frame(page)
    assert sorted(view.show for view in painted) == ["natural", "ndvi"]


def test_the_record_button_reaches_the_recorder_and_brings_back_its_words(client, pipeline):
    press = {"url": "/recording", "headers": {"origin": HOME}}
    assert client.post(**press, json={"on": True}).json() == {"on": True}
    assert client.post(**press, json={"on": False}).status_code == 200
    assert pipeline.asked_recording == [True, False]
    for wrong in (b"", b"[]", b'{"on": 1}', b'{"on": true, "off": 1' + b" " * 1000):
        assert client.post(**press, content=wrong).status_code == 400
    pipeline.recording_error = "the disk is full"
    answer = client.post(**press, json={"on": True})
    assert (answer.status_code, answer.json()["error"]) == (409, "the disk is full")
    assert client.get("/recording").status_code == 405


def test_health_and_metrics_tell_machines_what_the_page_tells_people(client, pipeline):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "reasons": []})
    families = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert {"hsi_edge_results", "hsi_edge_sensor_frames", "hsi_edge_latency_seconds"} <= families
    pipeline.change(spectral=replace(pipeline.status().spectral, state="lost"))
    until(lambda: client.get("/healthz").status_code == 503)
    assert client.get("/healthz").json()["status"] == "failing"


def test_a_pipeline_that_breaks_is_failing_and_the_page_stays_up(pipeline, monkeypatch, caplog):
    monkeypatch.setattr("hsi_edge.live.viewer.showing._SILENT_S", 0.3)
    monkeypatch.setattr("hsi_edge.live.viewer.showing._RETRY_S", 0.05)
    with visitor(pipeline) as client:
        monkeypatch.setattr(pipeline, "status", lambda: 1 / 0)
        until(lambda: client.get("/healthz").status_code == 503)
        assert client.get("/healthz").json()["reasons"] == ["the pipeline does not answer"]
        assert client.get("/metrics").status_code == 503
        assert client.get("/").status_code == 200
        with live(client) as page:
            page.send_json(NEXT)
            assert frame(page)[0]["silent"]
        monkeypatch.undo()
        until(lambda: client.get("/healthz").status_code == 200)
    assert "ZeroDivisionError" in caplog.text


def test_a_pipeline_that_has_ended_is_not_asked_without_a_pause(pipeline, monkeypatch):
    asked = []
    monkeypatch.setattr(pipeline, "wait_newer", lambda number, timeout_s: asked.append(number))
    with visitor(pipeline) as client:
        start = time.monotonic()
        until(lambda: len(asked) >= 5)
        assert time.monotonic() - start > 0.05
        assert client.get("/healthz").status_code == 200


def receive_forever(page):
    while True:
        page.receive_text()


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
