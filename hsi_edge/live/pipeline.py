"""The live pipeline: two sensors in, one checked stream of HR-HSI frames out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import HSIEdgeError, RecordingError
from hsi_edge.host_clock import host_time_ns
from hsi_edge.live.counts import Counts
from hsi_edge.live.delivery import Delivery
from hsi_edge.live.failure import failure, in_words
from hsi_edge.live.feed import Feed
from hsi_edge.live.fusion import fuse
from hsi_edge.live.jobs import Job, Jobs
from hsi_edge.live.pair import Pair
from hsi_edge.live.playing import Playing
from hsi_edge.live.reading import Reading
from hsi_edge.live.recorder import Recorder
from hsi_edge.live.result import LiveResult, Mode
from hsi_edge.live.self_check import SelfChecker
from hsi_edge.live.sink import Sink
from hsi_edge.live.status import RecordingStatus, Status, StreamStatus
from hsi_edge.machine import resident_bytes
from hsi_edge.run_report import RunReport
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream

_log = logging.getLogger(__name__)
QUEUED_RESULTS = 2
"""Per sink, results that wait while it works on another."""
PATIENCE_S = 10.0
"""At the end, for sinks: one that blocks for ever must not keep the program, and the recording, from ending."""
NO_RESULT = "no_result"
"""The recording's tag for a pair that gave no result: later ones may depend on it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What the pipeline is put together of (see `hsi_edge.live.assembly`).

    Attributes:
        feed: The way from sensors to engine.
        readings: The sensors' threads; none where frames are played.
        playing: Feeds frames that arrived before; None for sensors.
        jobs: Makes the state that turns pairs into jobs; called again when the feed begins anew.
        engines: By mode; without `single`, a pair that cannot be fused gives no result.
        checker: Looks at every result.
        withhold: Whether a flagged result is kept from every sink but the recorder.
        deadline_ms: For a result, from its spectral frame's arrival.
        lossless: Whether sinks hold up the pipeline rather than miss a result.
        recorder: Of raw frames and results; None for none.
        sinks: What else takes results.
        wanted: Which pairs to make results of, for a replay of what was made in flight; None for all.
    """

    feed: Feed
    readings: Mapping[Stream, Reading]
    playing: Playing | None
    jobs: Callable[[], Jobs]
    engines: Mapping[Mode, HSIEngine]
    checker: Mapping[Mode, SelfChecker]
    withhold: bool
    deadline_ms: float
    lossless: bool
    recorder: Recorder | None
    sinks: Sequence[Sink]
    wanted: Callable[[Pair], bool] | None = None


class Live:
    """A running pipeline, as `hsi_edge.live.assembly.open_live` gives it.

    Args:
        parts: What it is put together of; the engines are closed by whoever opened them.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._counts = Counts()
        self._latest: LiveResult | None = None
        self._made = threading.Condition()
        self._finished = False
        self._recording = False
        self._switch = threading.Lock()
        self._started = time.monotonic()
        self._error: HSIEdgeError | None = None
        sinks = [*parts.sinks, *([] if parts.recorder is None else [parts.recorder])]
        # The recorder, which blocks for no disk, misses none: a replay makes again what the recording tells of.
        self._deliveries = [
            Delivery(sink, length=QUEUED_RESULTS, lossless=parts.lossless or sink is parts.recorder) for sink in sinks
        ]
        self._worker = threading.Thread(target=self._work, name="hsi-edge-live", daemon=True)

    def start(self, *, record: bool = False) -> None:
        """Begin.

        Args:
            record: Whether to record from the first frame on.

        Raises:
            RecordingError: As `set_recording`; nothing has begun then.
        """
        if record:
            self.set_recording(True)
        self._parts.feed.arrived = self._record
        for delivery in self._deliveries:
            delivery.start()
        self._worker.start()
        for starter in self._starters():
            starter.start()

    def close(self) -> None:
        """Stop the sensors, finish the frame under way, let the sinks take it, and close them."""
        self._parts.feed.close()
        for starter in self._starters():
            starter.close()
        if self._worker.ident is not None:
            self._worker.join(PATIENCE_S if self._parts.lossless else None)
        for delivery in self._deliveries:
            delivery.finish()
        if self._worker.ident is not None:
            # Where it waited for a sink's room, it does not any more.
            self._worker.join()
        end = time.monotonic() + PATIENCE_S
        for delivery in self._deliveries:
            # What was recorded is worth any wait.
            patient = delivery.sink is self._parts.recorder
            delivery.join(None if patient else max(0.0, end - time.monotonic()))

    def results(self) -> Iterator[LiveResult]:
        """Yield results as they are made, the newest where the caller is slower; ends with the stream.

        Raises:
            HSIEdgeError: The pipeline failed as a whole.
        """
        number = -1
        while True:
            result = self.wait_newer(number, timeout_s=1.0)
            if result is not None:
                number = result.number
                yield result
            elif self._finished:
                self.raise_error()
                return

    def latest(self) -> LiveResult | None:
        """The newest result that was not withheld; None before the first."""
        return self._latest

    @property
    def finished(self) -> bool:
        """Whether no more results will come."""
        return self._finished

    def wait(self) -> None:
        """Wait for the last result.

        Raises:
            HSIEdgeError: The pipeline failed as a whole.
        """
        self._worker.join()
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what stopped the pipeline as a whole, if anything did.

        Raises:
            HSIEdgeError: What it was.
        """
        if (error := self._failure()) is not None:
            raise error

    def wait_newer(self, number: int, timeout_s: float) -> LiveResult | None:
        """Wait for a result with a higher number than that; None if there is none in time."""
        with self._made:
            self._made.wait_for(lambda: self._finished or self._has_newer(number), timeout_s)
            return self._latest if self._has_newer(number) else None

    def set_recording(self, on: bool) -> None:
        """Start or stop the recorder.

        Raises:
            RecordingError: There is none, or it cannot write.
        """
        recorder = self._parts.recorder
        if recorder is None:
            raise RecordingError("this flight has no recorder; add a section 'record' with a folder to its flight file")
        # Who begins anew twice, of two who ask at once, makes a recording that a replay takes for another.
        with self._switch:
            if on and not recorder.status().on:
                recorder.start()
                # A recording must hold all that its results depend on: the clocks' past, the last registration.
                self._parts.feed.begin_anew(self._record_frames)
            elif not on:
                self._recording = False
                recorder.stop()

    def add_tag(self, name: str, values: Mapping[str, object], timestamp_ns: int) -> None:
        """Put a position or the like into the recording, if the recorder is on.

        Args:
            name: Of its kind, such as `position`: letters, digits and `_`.
            values: What JSON can say.
            timestamp_ns: In the host's time (`hsi_edge.host_clock`).
        """
        if self._recording and self._parts.recorder is not None:
            self._parts.recorder.add_tag(name, values, timestamp_ns)

    def status(self) -> Status:
        """How the pipeline is."""
        parts, counts = self._parts, self._counts
        counts_in = parts.feed.counts
        return Status(
            uptime_s=time.monotonic() - self._started,
            mode=counts.mode,
            reason=counts.reason,
            mode_since_s=counts.mode_since_s,
            rgb=self._stream_status("rgb"),
            spectral=self._stream_status("spectral"),
            results=counts.results,
            fused=counts.fused,
            flagged=counts.flagged,
            withheld=counts.withheld,
            late=counts.late,
            unpaired_rgb=counts_in.unpaired_rgb,
            unpaired_spectral=counts_in.unpaired_spectral,
            skipped=parts.feed.skipped,
            failed=counts.failed,
            failure=counts.failure,
            unmeasured_rgb_px=counts.unmeasured_rgb_px,
            waiting=parts.feed.waiting,
            latencies=counts.latencies(),
            deadline_ms=parts.deadline_ms,
            sinks={one.sink.name: one.status() for one in self._deliveries},
            recording=RecordingStatus() if parts.recorder is None else parts.recorder.status(),
            memory_bytes=resident_bytes(),
            warnings=() if (error := self._failure()) is None else (f"the pipeline failed: {error}",),
        )

    def _stream_status(self, stream: Stream) -> StreamStatus:
        reading = self._parts.readings.get(stream)
        counts = getattr(self._parts.feed.counts, stream)
        if reading is not None:
            return reading.status(counts)
        return StreamStatus(
            state="ended" if self._finished else "running",
            frames=counts.frames,
            lost=counts.lost,
            refused=counts.refused,
            clock_jumps=counts.clock_jumps,
        )

    def _record_frames(self) -> None:
        self._recording = True

    def _record(self, stream: Stream, frame: SensorFrame) -> None:
        """Hand a raw frame to the recorder, if it is on."""
        if self._recording and self._parts.recorder is not None:
            self._parts.recorder.add_frame(stream, frame)

    def _failure(self) -> HSIEdgeError | None:
        return next(filter(None, [self._error, *(starter.error for starter in self._starters())]), None)

    def _starters(self) -> Sequence[Reading | Playing]:
        playing = self._parts.playing
        return [*self._parts.readings.values(), *([] if playing is None else [playing])]

    def _has_newer(self, number: int) -> bool:
        return self._latest is not None and self._latest.number > number

    def _work(self) -> None:
        try:
            fuse(self._jobs(), self._parts.engines, self._done, self._failed)
        except Exception as err:
            self._error = failure(err)
            _log.exception("the pipeline failed")
        finally:
            with self._made:
                self._finished = True
                self._made.notify_all()

    def _jobs(self) -> Iterator[Job]:
        parts = self._parts
        jobs = parts.jobs()
        while (taken := parts.feed.take()) is not None:
            if taken.first:
                jobs = parts.jobs()
            pair = taken.pair
            if parts.wanted is not None and not parts.wanted(pair):
                continue
            try:
                yield jobs.job(pair)
            except Exception as err:
                self._note_failure(pair, err)

    def _done(self, job: Job, hr_hsi: Cube, report: RunReport) -> None:
        start = time.perf_counter()
        check = self._parts.checker[job.mode].check(
            hr_hsi, job.lr_hsi, job.hr_msi, lr_noise=report.lr_noise, translation_px=report.translation_px
        )
        timings_ms = {
            **job.timings_ms,
            "prepare": report.timings_ms["prepare"],
            "engine": report.timings_ms["total"] - report.timings_ms["prepare"],
            "check": (time.perf_counter() - start) * 1000,
        }
        # Of frames that arrived long ago, the age says nothing.
        live = self._parts.feed.live
        age_ms = (host_time_ns() - job.pair.spectral.arrival_ns) / 1e6 if live else sum(timings_ms.values())
        result = LiveResult(
            number=self._counts.results,
            timestamp_ns=job.pair.timestamp_ns,
            hr_hsi=hr_hsi,
            mode=job.mode,
            reason=job.reason,
            lr_hsi=job.lr_hsi,
            hr_msi=None if job.hr_msi is None else job.hr_msi.data,
            pair=job.pair,
            refinement=job.refinement,
            check=check,
            report=report,
            timings_ms=timings_ms,
            age_ms=age_ms,
            late=age_ms > self._parts.deadline_ms,
            withheld=check.flagged and self._parts.withhold,
        )
        self._tell_of_mode(result)
        self._counts.add(result)
        self._deliver(result)

    def _tell_of_mode(self, result: LiveResult) -> None:
        if result.mode != self._counts.mode:
            why = f": {result.reason}" if result.reason else ""
            _log.info("mode %s%s", result.mode, why, extra={"mode": result.mode, "reason": result.reason})

    def _deliver(self, result: LiveResult) -> None:
        for delivery in self._deliveries:
            if not result.withheld or delivery.sink is self._parts.recorder:
                delivery.put(result)
        if not result.withheld:
            with self._made:
                self._latest = result
                self._made.notify_all()

    def _failed(self, job: Job, err: Exception) -> None:
        self._note_failure(job.pair, err)

    def _note_failure(self, pair: Pair, err: Exception) -> None:
        words = in_words(err)
        if words != self._counts.failure:
            _log.warning("no result: %s", words)
        self._counts.add_failure(words)
        frame = pair.spectral
        about = {"sequence": frame.sequence, "arrival_ns": frame.arrival_ns, "reason": words}
        self.add_tag(NO_RESULT, about, pair.timestamp_ns)
