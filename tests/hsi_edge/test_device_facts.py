from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hsi_edge.device_facts import facts_file, recall, remember


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HSI_EDGE_CACHE", str(tmp_path))
    return tmp_path


def test_facts_are_recalled_under_their_key():
    remember("a", {"side": 1})
    remember("b", {"side": 2})
    remember("a", {"side": 3})
    assert recall("a") == {"side": 3}
    assert recall("b") == {"side": 2}
    assert recall("c") == {}


def test_the_file_lies_in_the_users_cache_unless_told_otherwise(cache, monkeypatch):
    assert facts_file().parent == cache
    monkeypatch.delenv("HSI_EDGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "xdg"))
    assert facts_file() == cache / "xdg" / "hsi-edge" / "devices.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(cache))
    assert facts_file() == cache / ".cache" / "hsi-edge" / "devices.json"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', "\x00\xff"])
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(text):
    facts_file().write_bytes(text.encode("latin-1"))
    assert recall("a") == {}
    remember("a", {"side": 3})
    assert recall("a") == {"side": 3}


def test_where_nothing_can_be_written_nothing_is_remembered_and_a_warning_says_so(cache, monkeypatch, caplog):
    (cache / "file").write_text("in the way of the folder")
    monkeypatch.setenv("HSI_EDGE_CACHE", str(cache / "file" / "folder"))
    with caplog.at_level(logging.WARNING):
        remember("a", {"side": 3})
    assert "cannot be remembered" in caplog.text
    assert recall("a") == {}


def test_a_user_without_a_home_is_no_error(monkeypatch, caplog):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("HSI_EDGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    remember("a", {"side": 3})
    assert recall("a") == {}
    assert "cannot be remembered" in caplog.text
