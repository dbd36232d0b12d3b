"""Write files so that a reader finds the old ones, the new ones or none, and never half of one."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hsi_edge.errors import OutputError

_CAUSES = {
    errno.ENOSPC: "no space left on the device; free some, or write to another one",
    errno.EDQUOT: "the disk quota is used up; free some space, or write elsewhere",
    errno.EFBIG: "the file is larger than this file system or the process limit allows; write elsewhere",
    errno.EACCES: "no permission to write there; change the folder's rights, or write to a folder of your own",
    errno.EPERM: "the system does not permit it; change the folder's rights, or write to a folder of your own",
    errno.EROFS: "the file system is read-only; write elsewhere",
    errno.EISDIR: "a folder of that name is in the way; choose another name",
    errno.ENOTDIR: "a file of that name is in the way; choose another name",
}


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `final`, which takes the place of `final` when the block succeeds.

    The block creates a file or a folder at that path. Afterwards it is flushed to the disk and renamed. When the block
    raises, what it wrote is removed and `final` is as it was.

    Raises:
        OutputError: If the system refuses to write (disk full, no rights, folder missing).
    """
    with atomic_paths(final) as (temporary,):
        yield temporary


@contextmanager
def atomic_paths(*finals: Path) -> Iterator[tuple[Path, ...]]:
    """Do what `atomic_path` does for several files that only make sense together, such as pixels and their header.

    A process killed between the renames leaves some of the names empty, never old and new side by side.

    Raises:
        OutputError: If the system refuses to write (disk full, no rights, folder missing).
    """
    # A link is followed: the file that it names is replaced, not the link.
    targets = tuple(Path(os.path.realpath(final)) for final in finals)
    for target in targets:
        if not target.parent.is_dir():
            raise OutputError(f"cannot write {target}: the folder {target.parent} does not exist; create it first")
        # A rename would replace a write-protected file all the same.
        if target.is_file() and not os.access(target, os.W_OK):
            raise OutputError(f"cannot write {target}: the file is write-protected; choose another name")
    temporaries = tuple(_sibling(target, "part") for target in targets)
    try:
        yield temporaries
        for temporary in temporaries:
            _flush(temporary)
        _swap_in(temporaries, targets)
        for folder in {target.parent for target in targets}:
            flush_folder(folder)
    except OSError as err:
        cause = _CAUSES.get(err.errno or 0, "the system refused")
        raise OutputError(f"cannot write {targets[0]}: {cause} ({err}); what was there before is untouched") from err
    finally:
        for temporary in temporaries:
            _remove(temporary)


def _sibling(path: Path, kind: str) -> Path:
    # The ending stays: some libraries choose the format by it, or add it if it is missing.
    return path.with_name(f".{kind}-{secrets.token_hex(4)}-{path.name}")


def _swap_in(temporaries: Sequence[Path], targets: Sequence[Path]) -> None:
    if len(targets) == 1 and not targets[0].is_dir():
        if temporaries[0].is_dir() and targets[0].exists():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(targets[0]))
        temporaries[0].replace(targets[0])
        return
    # No system call replaces a filled folder or two files at once, so the old ones step aside under hidden names,
    # the last one (the header) first: from then on no reader finds old metadata over new pixels.
    aside: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    try:
        for temporary, target in reversed(list(zip(temporaries, targets, strict=True))):
            if target.is_dir() and not temporary.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))  # noqa: TRY301
            if target.exists():
                aside.append((_sibling(target, "old"), target))
                target.replace(aside[-1][0])
        for temporary, target in zip(temporaries, targets, strict=True):
            temporary.replace(target)
            placed.append(target)
    except BaseException:
        for target in placed:
            _remove(target)
        for old, target in aside:
            with suppress(FileNotFoundError):  # the rename that failed had not moved its file
                old.replace(target)
        raise
    for old, _ in aside:
        _remove(old)


def _flush(path: Path) -> None:
    """Force a file, or each file of a folder, onto the disk: a rename may survive a power cut that its data do not."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())


def flush_folder(folder: Path) -> None:
    """Make the renames themselves last, where the system can: the new files are in place and whole without it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
