from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.records import plain_from_record, plain_from_yaml, record_from_plain, yaml_from_plain


@dataclass(frozen=True, kw_only=True)
class Circle:
    shape: Literal["circle"] = "circle"
    radius: float


@dataclass(frozen=True, kw_only=True)
class Box:
    shape: Literal["box", "square"] = "box"
    sides: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    figure: Circle | Box
    frame: Circle | Box | None = None


@pytest.mark.parametrize("figure", [Circle(radius=1.5), Box(sides=(2, 3)), Box(shape="square", sides=(4,))])
@pytest.mark.parametrize("frame", [None, Circle(radius=9.0)])
def test_a_union_of_records_comes_back_from_yaml_as_it_went(figure: Circle | Box, frame: Circle | None) -> None:
    drawing = Drawing(figure=figure, frame=frame)
    data = yaml_from_plain(plain_from_record(drawing))
    assert record_from_plain(Drawing, plain_from_yaml(data, 1 << 10)) == drawing


@pytest.mark.parametrize(
    ("figure", "wanted"),
    [
        ({"radius": 1.5}, r"figure\.shape is missing; wanted one of circle, box, square"),
        ({"shape": "disc", "radius": 1.5}, r"figure\.shape is 'disc'; wanted one of circle, box, square"),
        ({"shape": None, "radius": 1.5}, r"figure\.shape is empty \(null\); wanted one of circle"),
        ({"shape": ["box"], "sides": [1]}, r"figure\.shape is \['box'\]; wanted one of circle"),
        ({"shape": "circle", "sides": [1]}, r"unknown key figure\.sides; known: shape, radius"),
        ({"shape": "box"}, r"figure\.sides is missing; wanted a list"),
        ("circle", r"figure is 'circle'; wanted a mapping"),
        (None, r"figure is empty \(null\); wanted a mapping"),
    ],
)
def test_what_fits_no_member_of_the_union_is_refused_by_name(figure: object, wanted: str) -> None:
    with pytest.raises(ManifestError, match=wanted):
        record_from_plain(Drawing, {"figure": figure})


def test_a_missing_union_of_records_is_one_mapping_in_words() -> None:
    with pytest.raises(ManifestError, match=r"figure is missing; wanted a mapping$"):
        record_from_plain(Drawing, {})


@dataclass(frozen=True, kw_only=True)
class Wheel:
    spokes: int

    def __post_init__(self) -> None:
        if self.spokes < 3:
            raise InputError(f"a wheel has {self.spokes} spokes; wanted 3 or more")


@dataclass(frozen=True, kw_only=True)
class Cart:
    wheels: tuple[Wheel, ...] = ()
    spare: Wheel | None = None


@pytest.mark.parametrize(
    ("plain", "path"),
    [({"spare": {"spokes": 1}}, "spare"), ({"wheels": [{"spokes": 4}, {"spokes": 1}]}, r"wheels\[1\]")],
)
def test_what_a_record_itself_refuses_is_named_by_its_place_in_the_file(plain: object, path: str) -> None:
    with pytest.raises(ManifestError, match=rf"^{path}: a wheel has 1 spokes; wanted 3 or more$"):
        record_from_plain(Cart, plain)


def test_what_the_outermost_record_refuses_stays_as_it_said_it() -> None:
    with pytest.raises(InputError, match=r"^a wheel has 1 spokes"):
        record_from_plain(Wheel, {"spokes": 1})
