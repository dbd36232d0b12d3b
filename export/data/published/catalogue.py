"""All published data sets by name."""

from __future__ import annotations

from export.data.published.cave import CAVE
from export.data.published.chikusei import CHIKUSEI
from export.data.published.foster import FOSTER
from export.data.published.harvard import HARVARD
from export.data.published.icvl import ICVL
from export.data.published.ncalm2018 import NCALM2018
from export.data.published.nus import NUS
from export.data.published.pavia import PAVIA_CENTRE, PAVIA_UNIVERSITY
from export.data.published.protocols import Dataset
from export.data.published.sources import Publication
from export.data.published.worldview2 import WORLDVIEW2

DATASETS: dict[Dataset, Publication] = {
    publication.dataset: publication
    for publication in (
        *(CAVE, HARVARD, ICVL, NUS, FOSTER),
        *(CHIKUSEI, PAVIA_CENTRE, PAVIA_UNIVERSITY, WORLDVIEW2, NCALM2018),
    )
}
