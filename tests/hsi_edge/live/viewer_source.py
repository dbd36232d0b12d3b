"""A pipeline's stand-in for the viewer's tests: a made-up valley of fields, trees, a road and a river, flown over."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from hsi_edge.cube import Cube
from hsi_edge.errors import RecordingError
from hsi_edge.host_clock import host_time_ns
from hsi_edge.live.pair import Pair
from hsi_edge.live.result import LiveResult
from hsi_edge.live.self_check import SelfCheck
from hsi_edge.live.status import Latency, RecordingStatus, SinkStatus, Status, StreamStatus
from hsi_edge.registration.refine import Refinement
from hsi_edge.run_report import RunReport
from hsi_edge.sensors.frame import SensorFrame

WAVELENGTHS_NM = np.linspace(400, 1000, 31)
STAGES = {"radiometry": 2.1, "registration": 9.4, "prepare": 7.7, "engine": 61.0, "check": 5.2}
RGB_LOST = "RGB camera lost: shown is the spectral sensor alone, interpolated"


def _plant(red: float, infrared: float, green: float = 0.09) -> np.ndarray:
    edge = 1 / (1 + np.exp(-(WAVELENGTHS_NM - 715) / 14))
    bump = green * np.exp(-(((WAVELENGTHS_NM - 552) / 35) ** 2))
    return red * (1 - edge) + bump + infrared * edge


def _materials() -> np.ndarray:
    x = (WAVELENGTHS_NM - 400) / 600
    soil, road = 0.10 + 0.28 * x, 0.16 + 0.05 * x
    water = 0.075 * np.exp(-2.2 * x) + 0.01
    roof = 0.08 + 0.34 / (1 + np.exp(-(WAVELENGTHS_NM - 590) / 18))
    return np.stack(
        [_plant(0.04, 0.48), _plant(0.07, 0.36, 0.06), soil, 0.8 * soil, _plant(0.02, 0.28, 0.04), road, water, roof]
    )


def valley(rows: int, cols: int, seed: int = 3) -> np.ndarray:
    """Reflectance `(rows, cols, 31)` float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:cols] / max(rows, cols)
    slope = 0.35
    u, v = np.floor(7 * (x + slope * y)), np.floor(5 * (y - slope * x) + 3)
    kind = rng.integers(0, 4, 400)[((u * 13 + v * 7) % 400).astype(int)]
    rough = rng.random((rows // 4 + 2, cols // 4 + 2)).repeat(4, 0).repeat(4, 1)[:rows, :cols]
    trees = rough * (np.sin(19 * x + 2) * np.cos(23 * y) > 0.3)
    kind[trees > 0.55] = 4
    kind[np.abs(y - 0.62 * x - 0.12) < 0.008] = 5
    kind[np.abs(x - 0.72 - 0.07 * np.sin(9 * y)) < 0.035] = 6
    kind[(rough > 0.93) & (np.hypot(x - 0.25, y - 0.72) < 0.16)] = 7
    rows_of_crop = 1 + 0.12 * np.sin(180 * (x + slope * y)) * (kind < 4)
    shade = (rows_of_crop * (0.9 + 0.2 * rough) * (1 + 0.05 * rng.standard_normal((rows, cols)))).astype(np.float32)
    return _materials().astype(np.float32)[kind] * shade[..., None]


class ViewerPipeline:
    """A `ViewerSource` that makes a result whenever `step` is called; all else is set by the test."""

    def __init__(self, lr: int = 32, ratio: int = 8) -> None:
        self.ratio = ratio
        self.valley = valley(lr * ratio, lr * ratio)
        self.number = -1
        self.asked_recording: list[bool] = []
        self.recording_error = ""
        self._arrived = threading.Condition()
        self._result: LiveResult | None = None
        self._status = Status(
            uptime_s=125.0,
            mode=None,
            reason="",
            mode_since_s=0.0,
            rgb=StreamStatus(state="running", frames=3700, frames_per_s=30.0, newest_age_ms=21.0),
            spectral=StreamStatus(state="running", frames=1240, frames_per_s=10.0, newest_age_ms=48.0, lost=2),
            results=0,
            fused=0,
            flagged=0,
            withheld=0,
            late=0,
            unpaired_rgb=3,
            unpaired_spectral=1,
            skipped=2,
            failed=0,
            failure="",
            waiting=0,
            latencies={name: Latency(p50_ms=t, p99_ms=1.3 * t, worst_ms=1.9 * t) for name, t in STAGES.items()}
            | {"age": Latency(p50_ms=92.0, p99_ms=131.0, worst_ms=188.0)},
            deadline_ms=300.0,
            sinks={"viewer": SinkStatus(taken=1200, passed_by=4)},
            recording=RecordingStatus(path="/var/lib/hsi-edge", free_bytes=41_000_000_000),
            memory_bytes=612_000_000,
        )

    def change(self, **fields: object) -> None:
        with self._arrived:
            self._status = replace(self._status, **fields)

    def step(
        self, *, mode: str = "fusion", reason: str = "", doubts: tuple[str, ...] = (), late: bool = False
    ) -> LiveResult:
        """Make the next result, a pixel further on."""
        sharp = np.roll(self.valley, 2 * (self.number + 1), axis=1)
        h, w = (side // self.ratio for side in sharp.shape[:2])
        lr = sharp.reshape(h, self.ratio, w, self.ratio, -1).mean(axis=(1, 3))
        hr = sharp if mode == "fusion" else _smooth(lr, self.ratio)
        return self.publish(self._made(lr, hr, mode, reason, doubts, late))

    def publish(self, result: LiveResult) -> LiveResult:
        with self._arrived:
            self.number, self._result = result.number, result
            status = self._status
            self._status = replace(
                status,
                mode=result.mode,
                reason=result.reason,
                uptime_s=status.uptime_s + 0.1,
                mode_since_s=status.mode_since_s + 0.1 if status.mode == result.mode else 0.0,
                results=status.results + 1,
                fused=status.fused + (result.mode == "fusion"),
                flagged=status.flagged + result.check.flagged,
            )
            self._arrived.notify_all()
        return result

    def _made(
        self, lr: np.ndarray, hr: np.ndarray, mode: str, reason: str, doubts: tuple[str, ...], late: bool
    ) -> LiveResult:
        now, number = host_time_ns(), self.number + 1
        spectral = SensorFrame(
            data=lr, timestamp_ns=now, sequence=number, arrival_ns=now, wavelengths_nm=WAVELENGTHS_NM
        )
        return LiveResult(
            number=number,
            timestamp_ns=now,
            hr_hsi=Cube(data=hr, wavelengths_nm=WAVELENGTHS_NM, quantity="reflectance"),
            mode=mode,
            reason=reason,
            lr_hsi=Cube(data=lr, wavelengths_nm=WAVELENGTHS_NM, quantity="reflectance"),
            hr_msi=None,
            pair=Pair(spectral=spectral, rgb=None, timestamp_ns=now),
            refinement=Refinement(dx_lr=0.12, dy_lr=-0.05, explained=0.97) if mode == "fusion" else None,
            check=_check(lr.shape[:2], doubts, fused=mode == "fusion"),
            report=_report(lr.shape),
            timings_ms=STAGES,
            age_ms=92.0,
            late=late,
        )

    def latest(self) -> LiveResult | None:
        return self._result

    def wait_newer(self, number: int, timeout_s: float) -> LiveResult | None:
        with self._arrived:
            self._arrived.wait_for(lambda: self.number > number, timeout_s)
            return self._result if self.number > number else None

    def status(self) -> Status:
        return self._status

    def set_recording(self, on: bool) -> None:
        if self.recording_error:
            raise RecordingError(self.recording_error)
        self.asked_recording.append(on)
        path = "/var/lib/hsi-edge/flight-07.mcap"
        self.change(
            recording=RecordingStatus(on=on, path=path, frames=12, bytes_written=8_400_000, free_bytes=41_000_000_000)
        )


class Flying:
    """Steps a pipeline on a thread of its own until closed; `options` are those of `step`."""

    def __init__(self, pipeline: ViewerPipeline, interval_s: float = 0.1) -> None:
        self.pipeline, self.interval_s = pipeline, interval_s
        self.options: dict[str, object] = {}
        self.paused = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._fly)

    def _fly(self) -> None:
        while not self._over.wait(self.interval_s):
            if not self.paused.is_set():
                self.pipeline.step(**self.options)

    def __enter__(self) -> Flying:
        self.pipeline.step()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _smooth(lr: np.ndarray, ratio: int) -> np.ndarray:
    from hsi_edge.resampling import upsample

    return np.ascontiguousarray(
        upsample(np.ascontiguousarray(lr.transpose(2, 0, 1)), ratio, "bicubic").transpose(1, 2, 0)
    )


def _check(shape: tuple[int, int], doubts: tuple[str, ...], *, fused: bool) -> SelfCheck:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    found = (0.25 + 0.2 * np.sin(17 * x) * np.cos(13 * y)).astype(np.float32)
    found[np.hypot(x - 0.6, y - 0.35) < (0.22 if doubts else 0.08)] += 1.3 if doubts else 0.4
    found[:2, :5] = np.nan
    return SelfCheck(
        spectral=3.4 if doubts else 1.02, rgb=0.08 if fused else None, map=found, flagged=bool(doubts), reasons=doubts
    )


def _report(lr_shape: tuple[int, ...]) -> RunReport:
    return RunReport(
        bundle="fieldfuse-x8",
        network="fieldfuse",
        ratio=8,
        base="subspace",
        backend="openvino",
        precision="fp32",
        device="CPU",
        statistics=None,
        tile=(128, 128),
        n_tiles=4,
        lr_shape=lr_shape,
        msi_shape=None,
        masked_lr_px=0,
        masked_msi_px=0,
        timings_ms={"total": 61.0},
        planned_bytes=0,
        warnings=(),
    )
