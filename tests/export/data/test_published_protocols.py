from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from export.data.published import Dataset, Paper, find_protocol, published_scenes, wavelengths_nm
from export.data.published.catalogue import DATASETS
from export.data.published.protocols import protocols
from hsi_edge.errors import InputError, ManifestError

PAIRS_OF_THE_PAPERS = {
    "ssrnet": {"cave", "harvard", "foster"},
    "gelin": {"cave", "icvl", "chikusei", "pavia_centre", "pavia_university"},
    "pzres": {"cave", "harvard"},
    "msssf": {"harvard", "icvl", "nus"},
}


@pytest.mark.parametrize("paper", get_args(Paper))
def test_each_paper_has_the_data_sets_that_it_used_and_the_rest_is_marked_as_our_own(paper):
    of_paper = {entry.dataset for entry in protocols() if paper in entry.papers and entry.origin == "paper"}
    own = {entry.dataset for entry in protocols() if paper in entry.papers and entry.origin == "own"}
    assert of_paper == PAIRS_OF_THE_PAPERS[paper]
    assert own == {"worldview2", "ncalm2018"}


def test_a_pair_stands_once():
    pairs = [(paper, entry.dataset) for entry in protocols() for paper in entry.papers]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize(
    ("paper", "blur", "response", "ratios"),
    [
        ("ssrnet", "bicubic", "none", (2, 3, 4)),
        ("gelin", "bicubic", "none", (4, 8)),
        ("pzres", "pzres-code", "nikon_d700", (8, 32)),
        ("msssf", "decimate", "nikon_d700", (16,)),
    ],
)
def test_the_degradation_is_the_paper_s(paper, blur, response, ratios):
    for dataset in PAIRS_OF_THE_PAPERS[paper]:
        protocol = find_protocol(dataset, paper)
        assert (protocol.blur, protocol.response, protocol.ratios) == (blur, response, ratios)


def test_a_pair_without_a_protocol_names_those_that_there_are():
    with pytest.raises(InputError, match="no protocol of msssf for 'cave'; there is one for harvard, icvl, nus"):
        find_protocol("cave", "msssf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blur": "motion"}, "gelin on cave has blur 'motion'; wanted one of .*bicubic"),
        ({"files": None}, "either 'files' or 'tiles'"),
        ({"scaling": "constant"}, "full_scale above 0"),
    ],
)
def test_a_protocol_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        replace(find_protocol("cave", "gelin"), **changes)


@pytest.mark.parametrize("dataset", get_args(Dataset))
def test_wavelengths_ascend_and_are_one_per_band(dataset):
    axis = wavelengths_nm(dataset)
    assert len(axis) in DATASETS[dataset].bands
    assert (np.diff(axis) > 0).all()
    assert 350 < axis[0] < axis[-1] < 1100


def test_the_caller_owns_the_wavelengths():
    wavelengths_nm("cave")[:] = 0
    assert wavelengths_nm("cave")[0] == 400


@pytest.mark.parametrize(("dataset", "paper"), [(entry.dataset, entry.papers[0]) for entry in protocols()])
def test_missing_data_say_at_once_what_belongs_where_and_who_has_it(tmp_path, dataset, paper):
    split = find_protocol(dataset, paper).splits[0]
    with pytest.raises(InputError, match=rf"{dataset}.* is missing: .* belongs there, as .*; get it from .*page"):
        published_scenes(tmp_path, dataset, paper, split)
    home = tmp_path / dataset / find_protocol(dataset, paper).subset
    home.mkdir(parents=True)
    with pytest.raises(InputError, match=f"{home.name} holds no such image"):
        published_scenes(tmp_path, dataset, paper, split)
