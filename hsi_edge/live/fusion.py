"""Jobs through the engines in their order: the fusion bundle, or the single-image one, each as a stream."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine
from hsi_edge.live.jobs import Job
from hsi_edge.live.result import Mode
from hsi_edge.run_report import RunReport

Done = Callable[[Job, Cube, RunReport], None]
Failed = Callable[[Job, Exception], None]


def fuse(jobs: Iterable[Job], engines: Mapping[Mode, HSIEngine], done: Done, failed: Failed) -> None:
    """Run jobs until there are no more; one that fails is told of, and the next one runs.

    Args:
        jobs: In their order; must not raise.
        engines: By mode; each gets its jobs as a stream, so that the next one is prepared while one is computed.
        done: Called with each result.
        failed: Called with each job that gave none, or that `done` failed on.

    Raises:
        Exception: An engine fails without a frame.
    """
    for mode, group in groupby(jobs, attrgetter("mode")):
        run = _Run(group)
        while not run.over:
            run.through(engines[mode], done, failed)


class _Run:
    """Jobs of one mode, one after the other."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self._again: deque[Job] = deque()
        self._fetching = threading.Lock()
        self.over = False

    def through(self, engine: HSIEngine, done: Done, failed: Failed) -> None:
        """Run jobs until they end, or until the engine fails on one."""
        under_way: deque[Job] = deque()
        given_up = threading.Event()
        try:
            for hr_hsi in engine.stream(self._images(under_way, given_up)):
                _try_done(under_way.popleft(), hr_hsi, engine.report, done, failed)
        except Exception as err:
            # The engine fetches ahead on a thread of its own, which must not take a job away from the next stream.
            with self._fetching:
                given_up.set()
            if not under_way:
                raise
            # Frames come out in their order: it was the first one's turn, and the others have not had theirs.
            failed(under_way.popleft(), err)
            self._again.extend(under_way)
            self.over = self.over and not self._again

    def _images(self, under_way: deque[Job], given_up: threading.Event) -> Iterator[tuple[Cube, Cube | None]]:
        while True:
            with self._fetching:
                if given_up.is_set():
                    return
                job = self._again.popleft() if self._again else next(self._jobs, None)
                if job is None:
                    self.over = True
                    return
                under_way.append(job)
            yield job.lr_hsi, job.hr_msi


def _try_done(job: Job, hr_hsi: Cube, report: RunReport, done: Done, failed: Failed) -> None:
    try:
        done(job, hr_hsi, report)
    except Exception as err:  # the stream of the engine is well, and goes on
        failed(job, err)
