"""How many threads NumPy's linear algebra takes."""

from __future__ import annotations

from contextlib import AbstractContextManager

import threadpoolctl


def blas_on_one_thread() -> AbstractContextManager[object]:
    """Within the block, compute matrix products on the thread that asks for them: in the whole process.

    OpenBLAS's own threads wait by spinning. Beside a network that has a thread on every core, and with other work on
    the machine, a frame took three times as long as with one thread. (threadpoolctl's documentation has the limits of
    such limits: they are not a thread's own.)
    """
    limits: AbstractContextManager[object] = threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    return limits
