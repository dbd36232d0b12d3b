"""The text of an ENVI header: `key = value` lines, and typed access to them.

Source: NV5 Geospatial, "ENVI Header Files" (https://www.nv5geospatialsoftware.com/docs/ENVIHeaderFiles.html).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_edge.errors import InputError

MAX_HEADER_BYTES = 16 * 2**20
"""A header of 2000 bands with names is about 100 kB; more than this is another kind of file."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class EnviHeader:
    """The fields of a header, keys in lower case; each getter raises `InputError` with file, key and what was found."""

    path: Path
    fields: Mapping[str, str]

    def text(self, key: str) -> str:
        """The value without its braces, or an empty string."""
        return " ".join(self.fields.get(key, "").split())

    def items(self, key: str) -> tuple[str, ...]:
        """The elements of a list; a trailing comma adds none."""
        parts = [" ".join(part.split()) for part in self.fields.get(key, "").split(",")]
        while parts and not parts[-1]:
            parts.pop()
        return tuple(parts)

    def integer(self, key: str, *, at_least: int, default: int | None = None) -> int:
        """A whole number; required if there is no default."""
        text = self.text(key)
        if not text and default is not None:
            return default
        if not text:
            raise self.error(key, "is missing", "a whole number")
        if not _INTEGER.fullmatch(text) or int(text) < at_least:
            raise self.error(key, f"is {_short(text)}", f"a whole number of at least {at_least}")
        return int(text)

    def number(self, key: str) -> float | None:
        """A number, NaN and infinity included; None where the key is missing."""
        text = self.text(key)
        if not text:
            return None
        try:
            return float(text)
        except ValueError as err:
            raise self.error(key, f"is {_short(text)}", "a number") from err

    def numbers(self, key: str, count: int) -> NDArray[np.float64] | None:
        """A list of `count` finite numbers; None where the key is missing or the list is empty."""
        items = self.items(key)
        if not items:
            return None
        if len(items) != count:
            raise self.error(key, f"has {len(items)} values", f"{count}, one per band")
        return np.array([self._element(key, item) for item in items], np.float64)

    def _element(self, key: str, item: str) -> float:
        try:
            value = float(item)
        except ValueError as err:
            raise self.error(key, f"holds {_short(item)}", "numbers, separated by commas") from err
        if not math.isfinite(value):
            raise self.error(key, f"holds {_short(item)}", "finite numbers")
        return value

    def error(self, key: str, found: str, wanted: str) -> InputError:
        """The error to raise about a key."""
        return InputError(f"ENVI header {self.path}: '{key}' {found}; wanted {wanted}. Correct the header")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def read_header(path: Path) -> EnviHeader:
    """Read a header file of at most `MAX_HEADER_BYTES`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_HEADER_BYTES + 1)
    except OSError as err:
        raise InputError(f"cannot read the ENVI header {path}: {err}; check the path and its rights") from err
    if len(raw) > MAX_HEADER_BYTES:
        raise InputError(f"ENVI header {path} is larger than {MAX_HEADER_BYTES} bytes; it is no header of an image")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # older ENVI wrote the code page of the machine; the keys are ASCII
    return EnviHeader(path, parse_fields(text, path))


def parse_fields(text: str, path: Path) -> dict[str, str]:
    """Split the text of a header into fields: keys in lower case with single spaces, values without braces.

    Lines that start with `;` and lines without `=` are passed over, a key given twice has its last value.
    """
    lines = iter(re.split(r"\r\n|\r|\n", text))
    first = next(lines).strip()
    if first.upper() != "ENVI":
        raise InputError(f"{path} is no ENVI header: its first line is {_short(first)}; wanted 'ENVI'")
    content = (line for line in lines if not line.lstrip().startswith(";"))
    fields: dict[str, str] = {}
    for line in content:
        key, equals, value = line.partition("=")
        key, value = " ".join(key.lower().split()), value.strip()
        if value.startswith("{"):
            value = _braced(value[1:], content, key, path)
        if equals:
            fields[key] = value
    return fields


def _braced(start: str, lines: Iterator[str], key: str, path: Path) -> str:
    parts = [start]
    while "}" not in parts[-1]:
        line = next(lines, None)
        if line is None:
            raise InputError(f"ENVI header {path}: '{key}' opens a brace that is never closed; the header is cut short")
        parts.append(line)
    return "\n".join(parts).partition("}")[0]


def braced(items: Iterable[object]) -> str:
    """A list as a header holds it. What would end an element or the list is replaced by a blank."""
    return "{" + ", ".join(re.sub(r"[{},\s]+", " ", str(item)).strip() for item in items) + "}"


def header_text(fields: Mapping[str, str]) -> str:
    """The text of a header with the given fields, in their order."""
    return "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())
