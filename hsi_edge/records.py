"""Frozen dataclasses from YAML and back, strictly: the dataclass's types are the file's schema."""

from __future__ import annotations

import difflib
import functools
import numbers
import reprlib
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from hsi_edge.errors import InputError, ManifestError

T = TypeVar("T")

# The C loader is ten times faster, which an SRF of some thousand numbers makes felt; not each PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_DEPTH = 20
MAX_SETTINGS_BYTES = 4 << 20
"""Of a settings file: matrices of mosaic sensors are the largest."""

_WORDS: dict[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "a mapping",
}


def plain_from_yaml(data: bytes, max_bytes: int) -> object:
    """Read YAML as plain values, without aliases, repeated keys, deep nesting, or more than `max_bytes`.

    Raises:
        ManifestError: Says what is wrong, and where in the file if that is known.
    """
    if len(data) > max_bytes:
        raise ManifestError(f"it has {len(data)} bytes; wanted at most {max_bytes}")
    try:
        _check_events(data)
        loader = _LOADER(data)
        try:
            node = loader.get_single_node()
            _check_keys(node)
            return loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as err:
        raise ManifestError(f"it is not readable YAML, or was cut short: {' '.join(str(err).split())}") from err


def read_settings(cls: type[T], path: Path, what: str) -> T:
    """Read a settings file: YAML that holds a record, an empty file one with its defaults.

    Args:
        cls: The record's dataclass.
        path: The file.
        what: It is, in words, such as `gate`.

    Raises:
        InputError: There is no such file, it is no YAML, or a key is unknown, missing or wrong.
    """
    try:
        plain = plain_from_yaml(path.read_bytes(), MAX_SETTINGS_BYTES)
        return record_from_plain(cls, {} if plain is None else plain)
    except OSError as err:
        raise InputError(f"cannot read the {what} {path} ({err.strerror}); check the path") from err
    except ManifestError as err:
        raise InputError(f"the {what} {path} is wrong: {err}") from err


def yaml_from_plain(plain: object) -> bytes:
    """Write plain values as YAML, keys in the order given, a list of numbers in one run of lines."""
    return yaml.dump(
        plain, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True
    ).encode()


class _Dumper(yaml.SafeDumper):
    pass


def _node_from_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Left to itself, PyYAML puts U+0085 and its like into single quotes, where they are read back as a space.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _node_from_text)


def _check_events(data: bytes) -> None:
    # Before anything is built: the C loader crashes the process on deep nesting, and aliases blow up a small file.
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise ManifestError(f"it uses a YAML alias, at line {_line(event)}; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ManifestError(f"it is nested more than {_MAX_DEPTH} deep, at line {_line(event)}")


def _check_keys(node: yaml.Node | None) -> None:
    # Of two equal keys YAML lets the last one win silently.
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item)
    elif isinstance(node, yaml.MappingNode):
        keys = set()
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in keys:
                raise ManifestError(f"a key stands twice or is no text, at line {_line(key)}")
            keys.add(key.value)
            _check_keys(item)


def _line(part: yaml.Event | yaml.Node) -> int:
    return part.start_mark.line + 1 if part.start_mark else 0


def record_from_plain(cls: type[T], value: object, path: str = "") -> T:
    """Build a dataclass from what `yaml.safe_load` returned.

    Known types are str, int, float (finite; a whole number will do), bool, Literal, `X | None`, unions of scalars,
    `tuple[X, ...]` (from a list), `Mapping[str, X]`, dataclasses of these, and unions of dataclasses that a tag tells
    apart: the first field of each, a Literal, which the value must have.

    Args:
        cls: The dataclass wanted. A field without a default must be there.
        value: The plain value.
        path: Where the value stands in its file, for messages: `tiling`, `bands.wavelengths_nm[3]`.

    Raises:
        ManifestError: Names the path of the first value that does not fit, the value, and what was wanted; for an
            unknown key also the known ones.
        InputError: The outermost dataclass itself refuses its values.
    """
    plain = _mapping(value, path)
    known: dict[str, Field[Any]] = {field.name: field for field in fields(cast(Any, cls))}
    for key in plain:
        if key not in known:
            raise ManifestError(f"unknown key {_join(path, key)}{_did_you_mean(key, known)}; known: {', '.join(known)}")
    hints = _hints(cast(type, cls))
    for name, field in known.items():
        if name not in plain and field.default is MISSING and field.default_factory is MISSING:
            raise ManifestError(f"{_join(path, name)} is missing; wanted {_word(hints[name])}")
    values = {name: _convert(hints[name], item, _join(path, name)) for name, item in plain.items()}
    try:
        return cls(**values)
    except InputError as err:
        if not path:
            raise
        # Settings are also made without a file, and do not know where in one they stand.
        raise ManifestError(f"{path}: {err}") from err


def plain_from_record(value: object) -> object:
    """Turn a dataclass into what `yaml.safe_dump` takes, fields in their order; NumPy scalars become plain ones."""
    if is_dataclass(value):
        return {field.name: plain_from_record(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain_from_record(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return [plain_from_record(item) for item in cast("Iterable[object]", value)]


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _convert(kind: object, value: object, path: str) -> object:
    origin = get_origin(kind)
    if is_dataclass(kind):
        return record_from_plain(cast(type, kind), value, path)
    if origin is tuple:
        return _sequence(get_args(kind)[0], value, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key_kind, item_kind = get_args(kind)
        return {
            _convert(key_kind, key, f"a key of {path}"): _convert(item_kind, item, _join(path, key))
            for key, item in _mapping(value, path).items()
        }
    if origin in (Union, types.UnionType):
        return _union(kind, value, path)
    if origin is Literal:
        if isinstance(value, str) and value in get_args(kind):
            return value
        raise _unfit(kind, value, path)
    return _scalar(kind, value, path)


def _scalar(kind: object, value: object, path: str) -> object:
    if kind is float and type(value) in (int, float) and abs(cast(float, value)) <= sys.float_info.max:
        return float(cast(float, value))
    if kind is not float and type(value) is kind:
        return value
    raise _unfit(kind, value, path)


def _union(kind: object, value: object, path: str) -> object:
    if value is None and type(None) in get_args(kind):
        return None
    members = [member for member in get_args(kind) if member is not type(None)]
    if len(members) == 1:
        return _convert(members[0], value, path)
    if all(is_dataclass(member) for member in members):
        return record_from_plain(_tagged(members, value, path), value, path)
    if type(value) in members:
        return _scalar(type(value), value, path)
    raise _unfit(kind, value, path)


def _tagged(members: list[Any], value: object, path: str) -> type:
    tag = fields(members[0])[0].name
    by_tag = {word: member for member in members for word in get_args(_hints(member)[tag])}
    plain = _mapping(value, path)
    if tag not in plain:
        raise ManifestError(f"{_join(path, tag)} is missing; wanted {_word(Literal[tuple(by_tag)])}")
    return cast(type, by_tag[_convert(Literal[tuple(by_tag)], plain[tag], _join(path, tag))])


def _sequence(kind: object, value: object, path: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise _unfit(list, value, path)
    return tuple(_convert(kind, item, f"{path}[{index}]") for index, item in enumerate(value))


def _mapping(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _unfit(dict, value, path or "the file")
    for key in value:
        if not isinstance(key, str):
            raise ManifestError(
                f"{_join(path, repr(key))} is a key of type {type(key).__name__}; wanted text, in quotes"
            )
    return value


def _unfit(kind: object, value: object, path: str) -> ManifestError:
    hint = ""
    if isinstance(value, str) and kind in (int, float):
        hint = "; YAML takes a number in quotes, and one like 1e-6 (write 1.0e-6) or 1e6 (write 1.0e+6), for text"
    elif kind is str and value is not None:
        hint = ", in quotes"
    got = "empty (null)" if value is None else reprlib.repr(value)
    return ManifestError(f"{path} is {got}; wanted {_word(kind)}{hint}")


def _word(kind: object) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(get_args(kind))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_word(member) for member in get_args(kind)))
    if origin is tuple:
        return _WORDS[list]
    return _WORDS.get(kind, _WORDS[dict])


def _did_you_mean(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
