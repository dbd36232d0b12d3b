"""Two simulated sensors over one moving world, for demonstrations and tests: the truth is known, faults are scripted.

Everything that they send is a function of the settings: which frame, when, and what is in it.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_edge.cube import Cube
from hsi_edge.errors import SensorEnded, SensorError, SensorTimeout
from hsi_edge.host_clock import host_time_ns
from hsi_edge.registration.refine import Refinement
from hsi_edge.registration.rig import Rig
from hsi_edge.resampling import Float
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.simulated_faults import Script
from hsi_edge.sensors.simulated_optics import Optics
from hsi_edge.sensors.simulated_schedule import Delivery, Schedule
from hsi_edge.sensors.simulated_settings import SimulationSettings
from hsi_edge.sensors.stream import Stream

UNPACED_START_NS = 1_800_000_000_000_000_000
"""When a flight that is not paced begins, by the host's clock: the same in every run."""
OPENING_S = 0.25
"""In a flight that is not paced, an attempt to open an unplugged sensor takes so long."""
EXPOSURE_US = 5000.0


class SimulatedPair:
    """Two sources that look at one world, and the truth about them.

    Args:
        cube: The world on the HR grid, every value finite.
        settings: The flight.
        paced: Whether frames come in real time, by the host's clock, where a slow reader gets the newest and misses
            others. Otherwise time goes by as frames are read, each source's own, from `UNPACED_START_NS` on.
        srf: `(3, S)` of the RGB camera, see `World`.

    Attributes:
        rgb, spectral: The sources.
        rig: Where on the RGB each spectral pixel is, in truth.
        dn_per_unit: Spectral numbers per unit of the world.
    """

    def __init__(
        self, cube: Cube, settings: SimulationSettings, *, paced: bool = True, srf: Float | None = None
    ) -> None:
        script = Script(settings.faults)
        end_s = math.inf if settings.seconds is None else settings.seconds
        optics = Optics(cube, settings, script, srf)
        flight = Flight(paced)
        rgb = Schedule("rgb", settings.rgb, script, settings.seed, end_s)
        spectral = Schedule("spectral", settings.spectral, script, settings.seed, end_s)
        self.rgb = SimulatedSource("rgb", rgb, Camera(optics.rgb), flight)
        self.spectral = SimulatedSource("spectral", spectral, Camera(optics.spectral, cube.wavelengths_nm), flight)
        self.rig: Rig = optics.rig
        self.dn_per_unit: float = optics.dn_per_unit
        self._settings = settings
        self._optics = optics

    def arrivals(self) -> Iterator[tuple[Stream, SensorFrame]]:
        """All frames of both sensors in order of arrival, without opening, waiting, or errors of unplugged sensors."""
        for delivery, source in heapq.merge(
            zip(self.rgb.schedule.deliveries(), itertools.repeat(self.rgb)),
            zip(self.spectral.schedule.deliveries(), itertools.repeat(self.spectral)),
            key=lambda item: item[0].arrival_s,
        ):
            yield source.stream, source.frame(delivery)

    def true_refinement(self, spectral: SensorFrame, rgb: SensorFrame) -> Refinement:
        """What is to be added to the rig for two frames, as the world and the RGB camera move."""
        return self._optics.true_refinement(
            self._settings.spectral.taken_s(spectral.sequence), rgb.sequence, self._settings.rgb.taken_s(rgb.sequence)
        )


class SimulatedSource:
    """One of the two sensors; `SimulatedPair` makes it.

    Attributes:
        stream: Which.
        schedule: When its frames arrive.
    """

    def __init__(self, stream: Stream, schedule: Schedule, camera: Camera, flight: Flight) -> None:
        self.stream = stream
        self.schedule = schedule
        self._camera = camera
        self._flight = flight
        self._unpaced_s = 0.0
        self._coming: Iterator[Delivery] = iter(())
        self._next: Delivery | None = None
        self._after: Delivery | None = None
        self._closed = threading.Event()
        self._closed.set()

    def open(self) -> None:
        """Make ready; the flight begins with the first sensor that is opened.

        Raises:
            SensorError: It is unplugged at this moment of the script.
        """
        self._closed.clear()
        now_s = self._now_s()
        if self.schedule.unplugged(now_s):
            self._closed.set()
            self._unpaced_s += OPENING_S
            raise SensorError(f"the simulated {self.stream} sensor is unplugged; open it again later")
        self._coming = self.schedule.deliveries(now_s)
        self._next, self._after = next(self._coming, None), next(self._coming, None)

    def read(self, timeout_s: float) -> SensorFrame:
        """The next frame; where time is real and several have come, the newest.

        Raises:
            SensorTimeout: None came in that time.
            SensorEnded: The flight is over.
            SensorError: It is unplugged or closed.
        """
        now_s = self._now_s()
        self._check_there(now_s)
        if (delivery := self._newest(now_s)) is None:
            raise SensorEnded(f"the flight is over, and the simulated {self.stream} sensor has no more frames")
        until_s = min(now_s + timeout_s, self.schedule.next_unplugged_s(now_s))
        if delivery.arrival_s > until_s:
            self._pass_until(until_s)
            self._check_there(self._now_s())
            raise SensorTimeout(f"no frame of the simulated {self.stream} sensor in {timeout_s:g} s; read again")
        frame = self.frame(delivery)  # before it arrives, so that making it takes none of its time
        self._pass_until(delivery.arrival_s)
        self._check_there(delivery.arrival_s)
        self._next, self._after = self._after, next(self._coming, None)
        return frame

    def close(self) -> None:
        """End a waiting `read`, and wait for the next `open`."""
        self._closed.set()

    def frame(self, delivery: Delivery) -> SensorFrame:
        """The frame of an arrival."""
        return SensorFrame(
            data=self._camera.picture(delivery.sequence, delivery.taken_s),
            timestamp_ns=delivery.timestamp_ns,
            sequence=delivery.sequence,
            arrival_ns=self._flight.start_ns + round(delivery.arrival_s * 1e9),
            exposure_us=EXPOSURE_US,
            gain=1.0,
            wavelengths_nm=self._camera.wavelengths_nm,
        )

    def _newest(self, now_s: float) -> Delivery | None:
        while self._after is not None and self._after.arrival_s <= now_s:
            self._next, self._after = self._after, next(self._coming, None)
        return self._next

    def _check_there(self, now_s: float) -> None:
        if self._closed.is_set():
            raise SensorError(f"the simulated {self.stream} sensor is closed; open it first")
        if self.schedule.unplugged(now_s):
            raise SensorError(f"the simulated {self.stream} sensor was unplugged; close it and open it again")

    def _now_s(self) -> float:
        return self._flight.now_s() if self._flight.paced else self._unpaced_s

    def _pass_until(self, at_s: float) -> None:
        if self._flight.paced:
            while (left_s := at_s - self._flight.now_s()) > 0 and not self._closed.wait(left_s):
                pass  # a wait may end a little early
        else:
            self._unpaced_s = max(self._unpaced_s, at_s)


@dataclass(frozen=True)
class Camera:
    """What a source makes its pictures with, from a frame's count and moment in seconds; and its bands."""

    picture: Callable[[int, float], NDArray[Any]]
    wavelengths_nm: NDArray[np.float64] | None = None


class Flight:
    """The time that both sensors share.

    Attributes:
        paced: Whether it is the host's.
    """

    def __init__(self, paced: bool) -> None:
        self.paced = paced
        self._lock = threading.Lock()
        self._start_ns: int | None = None if paced else UNPACED_START_NS

    @property
    def start_ns(self) -> int:
        """When it began, in the host's time: when this was first asked for."""
        with self._lock:
            if self._start_ns is None:
                self._start_ns = host_time_ns()
            return self._start_ns

    def now_s(self) -> float:
        """How long ago that was."""
        start_ns = self.start_ns  # first: this may be the beginning
        return (host_time_ns() - start_ns) / 1e9
