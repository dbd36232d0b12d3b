"""Which RGB frame was taken with which spectral frame."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hsi_edge.errors import InputError
from hsi_edge.live.clock import ClockModel
from hsi_edge.live.pair import Pair
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.stream import Stream

LONG_NS = 1_000_000_000
"""An RGB frame that is older is told as one that does not come any more; a count and a clock that both fall back by
more are those of a sensor that started anew."""


@dataclass(frozen=True, kw_only=True)
class PairingSettings:
    """How frames of two sensors find each other.

    Attributes:
        tolerance_ms: Frames that were taken further apart are no pair.
        wait_ms: How long a spectral frame waits for an RGB frame later than itself, from its arrival.
        rgb_latency_ms, spectral_latency_ms: From exposure to arrival at best, of each sensor.
        clock_jump_ms: Steps of a sensor's clock up to this one are taken for delay.
        frames_kept: Frames of each sensor that wait for the other's, at most.
    """

    tolerance_ms: float = 50.0
    wait_ms: float = 200.0
    rgb_latency_ms: float = 0.0
    spectral_latency_ms: float = 0.0
    clock_jump_ms: float = 100.0
    frames_kept: int = 32

    def __post_init__(self) -> None:
        for name in ("tolerance_ms", "wait_ms", "rgb_latency_ms", "spectral_latency_ms"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; wanted milliseconds, 0 or more")
        if self.clock_jump_ms <= 0:
            raise InputError(f"clock_jump_ms is {self.clock_jump_ms}; wanted milliseconds above 0")
        if self.frames_kept < 2:
            raise InputError(f"frames_kept is {self.frames_kept}; wanted 2 or more: one before and one after")


@dataclass(frozen=True, kw_only=True)
class StreamCounts:
    """Of one sensor.

    Attributes:
        frames: That arrived.
        lost: Gaps in their count.
        refused: Frames that were repeated or out of order.
        clock_jumps: How often its clock stepped.
    """

    frames: int = 0
    lost: int = 0
    refused: int = 0
    clock_jumps: int = 0


@dataclass(frozen=True, kw_only=True)
class IntakeCounts:
    """Of both sensors, with the frames of each that found no partner."""

    rgb: StreamCounts
    spectral: StreamCounts
    unpaired_rgb: int
    unpaired_spectral: int


@dataclass(eq=False)
class _Timed:
    frame: SensorFrame
    host_ns: int
    due_ns: int
    used: bool = False


class Intake:
    """Puts both sensors' frames into one time and pairs them: a deterministic function of the frames, in their order.

    Every spectral frame that is not refused gives one pair, in order of time, with the RGB frame nearest in time or
    with none; an RGB frame may serve several. A spectral frame waits until an RGB frame later than itself has come, so
    that no nearer one can, or until its time is up.

    `wake` changes when pairs come, not which: `arrive` does first what was due before the frame's arrival. For this to
    hold, `now_ns` must not pass the arrival of a frame that is handed in later.
    """

    def __init__(self, settings: PairingSettings | None = None) -> None:
        self._settings = settings or PairingSettings()
        self._rgb_arrivals = _Arrivals(self._settings.rgb_latency_ms, self._settings.clock_jump_ms)
        self._spectral_arrivals = _Arrivals(self._settings.spectral_latency_ms, self._settings.clock_jump_ms)
        self._tolerance_ns = round(self._settings.tolerance_ms * 1e6)
        self._rgb: deque[_Timed] = deque()
        self._waiting: deque[_Timed] = deque()
        self._unpaired_rgb = 0
        self._unpaired_spectral = 0

    @property
    def next_due_ns(self) -> int | None:
        """When to `wake` at the latest, in the host's time; None while no frame waits."""
        return self._waiting[0].due_ns if self._waiting else None

    @property
    def counts(self) -> IntakeCounts:
        """What came so far."""
        return IntakeCounts(
            rgb=self._rgb_arrivals.counts,
            spectral=self._spectral_arrivals.counts,
            unpaired_rgb=self._unpaired_rgb,
            unpaired_spectral=self._unpaired_spectral,
        )

    def arrive(self, stream: Stream, frame: SensorFrame) -> list[Pair]:
        """Take a frame; the pairs that are decided by it or were due before it, oldest first."""
        pairs = self.wake(frame.arrival_ns)
        if stream == "rgb":
            self._take_rgb(frame)
        else:
            self._take_spectral(frame)
        return pairs + self._decided()

    def wake(self, now_ns: int) -> list[Pair]:
        """The pairs whose time to wait is up, oldest first."""
        pairs = []
        while self._waiting and self._waiting[0].due_ns <= now_ns:
            pairs.append(self._pair(self._waiting.popleft()))
        return pairs

    def finish(self) -> list[Pair]:
        """The pairs of all frames that still wait, at the end of the streams."""
        pairs = [self._pair(spectral) for spectral in self._waiting]
        self._waiting.clear()
        while self._rgb:
            self._drop_oldest_rgb()
        return pairs

    def _take_rgb(self, frame: SensorFrame) -> None:
        if (host_ns := self._rgb_arrivals.host_time_ns(frame)) is None:
            return
        self._rgb.append(_Timed(frame, host_ns, 0))
        while len(self._rgb) > self._settings.frames_kept:
            self._drop_oldest_rgb()

    def _take_spectral(self, frame: SensorFrame) -> None:
        if (host_ns := self._spectral_arrivals.host_time_ns(frame)) is None:
            return
        self._waiting.append(_Timed(frame, host_ns, frame.arrival_ns + round(self._settings.wait_ms * 1e6)))

    def _decided(self) -> list[Pair]:
        pairs = []
        while self._waiting and self._is_decided(self._waiting[0]):
            pairs.append(self._pair(self._waiting.popleft()))
        return pairs

    def _is_decided(self, spectral: _Timed) -> bool:
        overtaken = bool(self._rgb) and self._rgb[-1].host_ns >= spectral.host_ns
        return overtaken or len(self._waiting) > self._settings.frames_kept

    def _pair(self, spectral: _Timed) -> Pair:
        nearest = min(self._rgb, key=lambda rgb: abs(rgb.host_ns - spectral.host_ns), default=None)
        if nearest is not None and abs(nearest.host_ns - spectral.host_ns) <= self._tolerance_ns:
            nearest.used = True
            pair = Pair(
                spectral=spectral.frame,
                rgb=nearest.frame,
                timestamp_ns=spectral.host_ns,
                apart_ns=nearest.host_ns - spectral.host_ns,
            )
        else:
            self._unpaired_spectral += 1
            lack = self._lack(spectral.host_ns, None if nearest is None else nearest.host_ns)
            pair = Pair(spectral=spectral.frame, rgb=None, timestamp_ns=spectral.host_ns, lack=lack)
        # Later spectral frames may still be nearest to the last RGB frame before this one, and to none before that.
        while len(self._rgb) > 1 and self._rgb[1].host_ns <= spectral.host_ns:
            self._drop_oldest_rgb()
        return pair

    def _drop_oldest_rgb(self) -> None:
        self._unpaired_rgb += not self._rgb.popleft().used

    def _lack(self, spectral_ns: int, rgb_ns: int | None) -> str:
        if rgb_ns is None:
            return "no RGB frame has come"
        if spectral_ns - rgb_ns > LONG_NS:
            return f"no RGB frame for {(spectral_ns - rgb_ns) / 1e9:.1f} s"
        apart_ms = abs(rgb_ns - spectral_ns) / 1e6
        return f"the nearest RGB frame is {apart_ms:.0f} ms away (tolerance {self._settings.tolerance_ms:g} ms)"


class _Arrivals:
    """One sensor's frames in order: which are refused, how many were lost, and when the others were taken."""

    def __init__(self, latency_ms: float, clock_jump_ms: float) -> None:
        self._clock = ClockModel(latency_ms, clock_jump_ms)
        self._newest: SensorFrame | None = None
        self._refused_last: SensorFrame | None = None
        self._host_ns: int | None = None
        self._frames = self._lost = self._refused = 0

    @property
    def counts(self) -> StreamCounts:
        return StreamCounts(frames=self._frames, lost=self._lost, refused=self._refused, clock_jumps=self._clock.jumps)

    def host_time_ns(self, frame: SensorFrame) -> int | None:
        """When it was taken, in the host's time, later than the frame before; None where it is refused."""
        self._frames += 1
        if self._newest is not None and not self._follows(self._newest, frame):
            self._refused += 1
            self._refused_last = frame
            return None
        if self._newest is not None:
            self._lost += max(0, frame.sequence - self._newest.sequence - 1)
        self._newest, self._refused_last = frame, None
        host_ns = self._clock.host_time_ns(frame.timestamp_ns, frame.arrival_ns, frame.sequence)
        self._host_ns = host_ns if self._host_ns is None else max(host_ns, self._host_ns + 1)
        return self._host_ns

    def _follows(self, newest: SensorFrame, frame: SensorFrame) -> bool:
        """Whether a frame is new. A lower count with a later time is a sensor that was opened again."""
        if frame.sequence == newest.sequence or frame.timestamp_ns == newest.timestamp_ns:
            return False
        if frame.sequence > newest.sequence or frame.timestamp_ns > newest.timestamp_ns:
            return True
        return newest.timestamp_ns - frame.timestamp_ns > LONG_NS and self._goes_on(frame)

    def _goes_on(self, frame: SensorFrame) -> bool:
        """Whether a frame follows the one refused before it: then the sensor began anew, and neither is a straggler."""
        before = self._refused_last
        return before is not None and frame.sequence > before.sequence and frame.timestamp_ns > before.timestamp_ns
