"""An engine on the GPU serves images on the host as any backend does."""

from __future__ import annotations

import numpy as np

from hsi_edge.cuda.session import DeviceSession
from tests.hsi_edge.cuda.pairs import KINDS, pair_of


def test_a_session_gives_what_the_backend_gives_and_returns_its_memory(rig, rng):
    one = rig(KINDS["statistics"], (19, 23))
    one.prepare(*pair_of(rng, one.manifest))
    held = one.cuda.held
    session = DeviceSession(one.engine(), one.cuda)
    for pair in (pair_of(rng, one.manifest), pair_of(rng, one.manifest)):
        one.prepare(*pair)
        images = one.frame.window(one.frame.grid).images
        outputs = session.run({name: image[None] for name, image in images.items()})
        np.testing.assert_allclose(outputs["measured_statistics"], one.network.measure(images), atol=1e-6)
        np.testing.assert_allclose(outputs["hr_hsi"][0], one.network.refine(images, None), atol=1e-6)
    session.close()
    assert one.cuda.held == held
