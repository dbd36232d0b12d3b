from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hsi_edge.errors import OutputError
from hsi_edge.io.atomic import atomic_path, atomic_paths

DEV_FULL = Path("/dev/full")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run_python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=60)


def test_the_file_appears_only_when_the_block_is_done(tmp_path):
    final = tmp_path / "out.bin"
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"new")
        assert not final.exists()
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".bin"
    assert final.read_bytes() == b"new"
    assert names(tmp_path) == ["out.bin"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    final = tmp_path / "out.bin"
    final.write_bytes(b"old")
    with pytest.raises(TypeError, match="bytes-like"), atomic_path(final) as temporary, temporary.open("wb") as file:
        file.writelines([b"new", "no bytes"])
    assert final.read_bytes() == b"old"
    assert names(tmp_path) == ["out.bin"]


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with atomic_path(tmp_path / "out") as temporary:
        temporary.write_bytes(b"")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_replaces_a_filled_folder(tmp_path):
    final = tmp_path / "store"
    for content in ("first", "second"):
        with atomic_path(final) as temporary:
            (temporary / "deep").mkdir(parents=True)
            (temporary / "deep" / content).write_text(content)
    assert names(final / "deep") == ["second"]
    assert names(tmp_path) == ["store"]


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("kept")
    with pytest.raises(OutputError, match="a folder of that name is in the way"), atomic_path(tmp_path / "out") as new:
        new.write_bytes(b"new")
    assert (tmp_path / "out" / "precious").read_text() == "kept"
    assert names(tmp_path) == ["out"]


def test_a_folder_never_replaces_a_file(tmp_path):
    (tmp_path / "out").write_text("kept")
    with pytest.raises(OutputError, match="a file of that name is in the way"), atomic_path(tmp_path / "out") as new:
        new.mkdir()
    assert (tmp_path / "out").read_text() == "kept"


def test_a_link_is_followed_not_replaced(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(OutputError, match=r"the folder .*nowhere does not exist; create it"),
        atomic_path(tmp_path / "nowhere" / "out"),
    ):
        pytest.fail("the block must not run")


@pytest.mark.skipif(not DEV_FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said_in_plain_words(tmp_path):
    final = tmp_path / "out"
    final.write_text("old")
    wanted = r"cannot write .*out: no space left on the device.*; what was there before is untouched"
    with pytest.raises(OutputError, match=wanted), atomic_path(final):
        DEV_FULL.write_bytes(b"x")
    assert final.read_text() == "old"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "refused"),
    ],
)
def test_each_refusal_of_the_system_becomes_an_output_error(tmp_path, monkeypatch, code, words):
    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    (tmp_path / "out").write_text("old")
    with pytest.raises(OutputError, match=words) as caught, atomic_path(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert isinstance(caught.value.__cause__, OSError)
    assert (tmp_path / "out").read_text() == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the rights of a folder do not bind root")
def test_a_folder_without_rights_is_an_output_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="no permission"), atomic_path(tmp_path / "out") as temporary:
            temporary.write_text("new")
    finally:
        tmp_path.chmod(0o700)


def test_a_write_protected_file_stays(tmp_path, monkeypatch):
    final = tmp_path / "out"
    final.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OutputError, match="write-protected"), atomic_path(final):
        pytest.fail("the block must not run")


def test_two_files_are_replaced_together_or_not_at_all(tmp_path, monkeypatch):
    data, header = tmp_path / "data", tmp_path / "header"
    data.write_text("old")
    header.write_text("old")
    plain = Path.replace

    def fail_at_the_last(self: Path, target: Path) -> Path:
        if target == header and self.name.startswith(".part"):
            raise PermissionError(errno.EACCES, "held open by another program")
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", fail_at_the_last)
    with pytest.raises(OutputError, match="held open"), atomic_paths(data, header) as temporaries:
        _ = [temporary.write_text("new") for temporary in temporaries]
    assert (data.read_text(), header.read_text()) == ("old", "old")
    assert names(tmp_path) == ["data", "header"]


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from hsi_edge.io.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    with temporary.open("wb") as file:
        file.write(bytes(100_000))
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_kill_in_the_middle_of_writing_leaves_the_old_file_or_none(tmp_path, old):
    final = tmp_path / "out"
    if old is not None:
        final.write_bytes(old)
    assert run_python(KILLED_WHILE_WRITING, final).returncode == -signal.SIGKILL
    assert (final.read_bytes() if final.exists() else None) == old
