"""The memory of a frame on the GPU and beside it on the host: allocated once, as planned.

An integrated GPU (Jetson) reaches the host's pinned memory, but does not cache it. So what the kernels read again and
again is copied to memory that it does cache, which is little; the result, written once, goes straight to the host.
"""

from __future__ import annotations

from contextlib import ExitStack

from hsi_edge.cuda.driver import Cuda
from hsi_edge.cuda.plan import Plan


class FrameMemory:
    """The memory of a plan, allocated.

    Attributes:
        plan: The plan.
        at: Addresses for the GPU, by the names of all arrays.
        given: The host's views of what it gives.
        taken: The host's views of what it takes.
    """

    def __init__(self, cuda: Cuda, plan: Plan) -> None:
        self.plan = plan
        self._cuda = cuda
        with ExitStack() as undo:
            self._work = cuda.allocate(plan.work.nbytes)
            undo.callback(cuda.release, self._work)
            self._given = cuda.allocate_pinned(plan.given.nbytes)
            undo.callback(cuda.release, self._given.pointer)
            self._taken = cuda.allocate_pinned(plan.taken.nbytes)
            undo.callback(cuda.release, self._taken.pointer)
            self._uploaded = cuda.allocate(plan.given.nbytes)
            undo.pop_all()
        self.given = plan.given.views(self._given.host)
        self.taken = plan.taken.views(self._taken.host)
        self.at = plan.given.addresses(self._uploaded) | plan.work.addresses(self._work)
        if plan.integrated:
            self.at |= plan.taken.addresses(self._taken.address)

    def upload(self, stream: int) -> None:
        """Bring what the host gave to the GPU."""
        self._cuda.copy(self._uploaded, self._given.address, self.plan.given.nbytes, stream)

    def download(self, name: str, source: str, nbytes: int, stream: int) -> None:
        """Bring what the GPU made in `source` to the host's `name`; an integrated one made it there."""
        if not self.plan.integrated:
            target = self._taken.address + self.plan.taken.offsets[name]
            self._cuda.copy(target, self.at[source], nbytes, stream)

    def release(self) -> None:
        """Give everything back; nothing may still be running."""
        self._cuda.release(self._work, self._given.pointer, self._taken.pointer, self._uploaded)
