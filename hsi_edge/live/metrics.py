"""A status as Prometheus metrics: base units (seconds, bytes), counters that end in `_total`.

The names follow the exposition format and naming practice of the Prometheus project. Latencies are gauges over the last
some hundred results, as `Status` has them, and no histograms: what is asked in flight is "how late is it now".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from hsi_edge.errors import require
from hsi_edge.live.result import Mode
from hsi_edge.live.status import Status, StreamState

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of `metrics_text`, for HTTP."""

_Samples = dict[tuple[str, ...], float]


def metrics_text(status: Status) -> bytes:
    """The status in Prometheus's text format.

    Raises:
        MissingPackageError: prometheus-client is not installed.
    """
    prometheus = require("prometheus_client", feature="the page /metrics", extra="live")
    registry = prometheus.CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status))
    text: bytes = prometheus.generate_latest(registry)
    return text


class _Collector:
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        yield from _pipeline(self._status)
        yield from _sensors(self._status)
        yield from _sinks(self._status)
        yield from _recording(self._status)


def _pipeline(status: Status) -> Iterator[Metric]:
    yield _gauge("uptime_seconds", "Since the pipeline's start.", status.uptime_s)
    modes: _Samples = {(mode,): float(mode == status.mode) for mode in get_args(Mode)}
    yield _gauge("mode", "1 for the mode that the latest result was made in.", modes, ("mode",))
    yield _gauge("mode_seconds", "How long results have been made in this mode.", status.mode_since_s)
    yield _counter("results", "Results that were made.", status.results)
    yield _counter("results_fused", "Results of both sensors.", status.fused)
    yield _counter("results_flagged", "Results beyond the self-check's bound.", status.flagged)
    yield _counter("results_withheld", "Results that were handed to no sink.", status.withheld)
    yield _counter("results_late", "Results older than the deadline when they were ready.", status.late)
    unpaired: _Samples = {("rgb",): float(status.unpaired_rgb), ("spectral",): float(status.unpaired_spectral)}
    yield _counter("unpaired_frames", "Frames without a partner near enough in time.", unpaired, ("sensor",))
    yield _counter("skipped_pairs", "Pairs that a newer one overtook.", status.skipped)
    yield _counter("failed_pairs", "Pairs that no result could be made of.", status.failed)
    unmeasured = "HR pixels of the latest result that the RGB frame holds no measurement for."
    yield _gauge("unmeasured_rgb_pixels", unmeasured, status.unmeasured_rgb_px)
    yield _gauge("waiting_pairs", "Pairs that wait for the engine.", status.waiting)
    latencies: _Samples = {
        (stage, name): milliseconds / 1e3
        for stage, latency in status.latencies.items()
        for name, milliseconds in (("p50", latency.p50_ms), ("p99", latency.p99_ms), ("worst", latency.worst_ms))
    }
    yield _gauge("latency_seconds", "Of the last some hundred results, by stage.", latencies, ("stage", "statistic"))
    yield _gauge("deadline_seconds", "Allowed from a frame's arrival to its result.", status.deadline_ms / 1e3)
    yield _gauge("memory_bytes", "Of this process.", status.memory_bytes)
    yield _gauge("warnings", "What somebody should know; the health page has the words.", len(status.warnings))


def _sensors(status: Status) -> Iterator[Metric]:
    streams = {"rgb": status.rgb, "spectral": status.spectral}
    states: _Samples = {
        (sensor, state): float(state == stream.state)
        for sensor, stream in streams.items()
        for state in get_args(StreamState)
    }
    yield _gauge("sensor_state", "1 for the state that the sensor is in.", states, ("sensor", "state"))

    def by_sensor(field: str, factor: float = 1.0) -> _Samples:
        found = ((sensor, getattr(stream, field)) for sensor, stream in streams.items())
        return {(sensor,): value * factor for sensor, value in found if value is not None}

    label = ("sensor",)
    yield _counter("sensor_frames", "Frames that arrived.", by_sensor("frames"), label)
    yield _gauge("sensor_frames_per_second", "Over the last seconds.", by_sensor("frames_per_s"), label)
    yield _gauge("sensor_newest_age_seconds", "Of the newest frame.", by_sensor("newest_age_ms", 1e-3), label)
    yield _counter("sensor_lost_frames", "Gaps in the sequence numbers.", by_sensor("lost"), label)
    yield _counter("sensor_refused_frames", "Damaged, repeated or out of order.", by_sensor("refused"), label)
    yield _counter("sensor_reopened", "How often the sensor was opened again.", by_sensor("reopened"), label)
    yield _counter("sensor_clock_jumps", "How often the sensor's clock jumped.", by_sensor("clock_jumps"), label)


def _sinks(status: Status) -> Iterator[Metric]:
    results: _Samples = {
        (name, what): float(count)
        for name, sink in status.sinks.items()
        for what, count in (("taken", sink.taken), ("passed_by", sink.passed_by), ("failed", sink.failed))
    }
    yield _counter("sink_results", "What became of the results at each sink.", results, ("sink", "outcome"))


def _recording(status: Status) -> Iterator[Metric]:
    recording = status.recording
    yield _gauge("recording", "1 while the recorder is on.", float(recording.on))
    yield _gauge("recording_stopped_by_itself", "1 if it stopped unasked (disk full, error).", bool(recording.stopped))
    yield _counter("recording_frames", "Frames that were recorded.", recording.frames)
    yield _counter("recording_written_bytes", "Bytes that were recorded.", recording.bytes_written)
    yield _gauge("recording_free_bytes", "Left on the recorder's disk.", recording.free_bytes)


def _gauge(name: str, text: str, value: float | _Samples, labels: tuple[str, ...] = ()) -> Metric:
    return _family("GaugeMetricFamily", name, text, value, labels)


def _counter(name: str, text: str, value: float | _Samples, labels: tuple[str, ...] = ()) -> Metric:
    return _family("CounterMetricFamily", name, text, value, labels)


def _family(kind: str, name: str, text: str, value: float | _Samples, labels: tuple[str, ...]) -> Metric:
    core = require("prometheus_client.core", feature="the page /metrics", extra="live")
    family: Metric = getattr(core, kind)(f"hsi_edge_{name}", text, labels=labels)
    for label_values, sample in value.items() if isinstance(value, dict) else {(): float(value)}.items():
        family.add_metric(label_values, sample)
    return family
