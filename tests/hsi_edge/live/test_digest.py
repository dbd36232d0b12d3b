from __future__ import annotations

from dataclasses import replace

import numpy as np

from hsi_edge.live.digest import digest
from tests.hsi_edge.live.live_results import made_result


def test_the_same_pixels_have_the_same_digest_whoever_made_them() -> None:
    assert digest(made_result(3)) == digest(replace(made_result(3), number=5))


def test_one_other_bit_in_a_row_that_is_looked_at_changes_it() -> None:
    result = made_result(3)
    data = np.array(result.hr_hsi.data)
    data[0, 3, 1] = np.nextafter(data[0, 3, 1], np.float32(2))
    assert digest(replace(result, hr_hsi=replace(result.hr_hsi, data=data))) != digest(result)
