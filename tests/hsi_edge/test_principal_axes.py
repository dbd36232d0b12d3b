from __future__ import annotations

import numpy as np
import pytest

from hsi_edge.principal_axes import principal_axes


@pytest.mark.parametrize(("bands", "rank"), [(1, 1), (7, 3), (31, 31), (205, 40)])
def test_a_gram_matrix_is_taken_apart_as_by_eigh(rng, bands, rank):
    spectra = rng.standard_normal((bands, rank))
    gram = spectra @ spectra.T
    powers, axes = principal_axes(gram)
    np.testing.assert_allclose(powers, np.linalg.eigvalsh(gram), atol=1e-9 * powers[-1])
    np.testing.assert_allclose(axes * powers @ axes.T, gram, atol=1e-9 * powers[-1])
    np.testing.assert_allclose(axes.T @ axes, np.eye(bands), atol=1e-9)
    assert (axes[-1] >= 0).all()


def test_an_axis_does_not_turn_round_with_its_input(rng):
    spectra = rng.standard_normal((31, 500))
    _, axes = principal_axes(spectra @ spectra.T)
    _, again = principal_axes(spectra[:, ::-1] @ spectra[:, ::-1].T * 1.001)
    np.testing.assert_allclose(axes, again, atol=1e-6)
