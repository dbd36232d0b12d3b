"""From a flight file to a running pipeline: opens what it names, and leaves nothing open where one of it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from hsi_edge.blas_threads import blas_on_one_thread
from hsi_edge.engine import HSIEngine
from hsi_edge.errors import InputError
from hsi_edge.live.correction import rgb_correction, spectral_correction
from hsi_edge.live.feed import Feed
from hsi_edge.live.flight import Flight, SimulatedSettings
from hsi_edge.live.frame_files import FrameFiles
from hsi_edge.live.ground import ground_cube
from hsi_edge.live.heap import share_one_heap
from hsi_edge.live.jobs import Jobs, Optics
from hsi_edge.live.modes import ModeChoice
from hsi_edge.live.packing import packed
from hsi_edge.live.pair import Pair
from hsi_edge.live.pairing import Intake
from hsi_edge.live.pipeline import Live, Parts
from hsi_edge.live.playing import Playing
from hsi_edge.live.reading import Reading
from hsi_edge.live.recorder import Recorder
from hsi_edge.live.result import Mode
from hsi_edge.live.rgb_health import RgbHealth
from hsi_edge.live.self_check import SelfChecker
from hsi_edge.live.setup import BundleFacts, Setup
from hsi_edge.live.shared_memory import SharedMemorySink
from hsi_edge.live.sink import Sink
from hsi_edge.registration.refiner import Refiner
from hsi_edge.registration.rig import Rig, read_rig
from hsi_edge.registration.warp import GridWarp
from hsi_edge.sensors.catalogue import RgbSettings, SpectralSettings, source_of
from hsi_edge.sensors.frame import SensorFrame
from hsi_edge.sensors.reopening import Reopening
from hsi_edge.sensors.simulated import SimulatedPair
from hsi_edge.sensors.source import Source
from hsi_edge.sensors.stream import Stream

QUEUED_PAIRS = 1
"""One pair waits while the engine prepares the next and computes another: more would only make results older."""

Arrivals = Iterable[tuple[Stream, SensorFrame]]


@contextmanager
def open_live(flight: Flight, *, sinks: Sequence[Sink] = (), record: bool = False) -> Iterator[Live]:
    """Open all that a flight names, and run it until the block is left.

    Args:
        flight: From `hsi_edge.live.flight.read_flight`.
        sinks: What takes results beside the flight's own.
        record: Whether to record from the first frame on; `Live.set_recording` starts and stops it later.

    Raises:
        HSIEdgeError: A bundle, a file or the spectral sensor cannot be opened; or the RGB camera, where there is no
            single-image bundle to do without it.
    """
    with ExitStack() as stack:
        engines = stack.enter_context(_ready(flight))
        simulated = opened_simulation(flight, engines["fusion"])
        rig = flight_rig(flight, simulated)
        if simulated is not None and flight.simulation is not None and not flight.simulation.paced:
            live = _live(flight, engines, rig, sinks, arrivals=simulated.arrivals())
        else:
            live = _live(flight, engines, rig, sinks, simulated=simulated)
        stack.callback(live.close)
        live.start(record=record)
        yield live


@contextmanager
def open_replay(
    flight: Flight, arrivals: Arrivals, wanted: Callable[[Pair], bool] | None, *, sinks: Sequence[Sink] = ()
) -> Iterator[Live]:
    """Run recorded arrivals as `open_live` ran them in flight, as fast as results are made, none left out.

    Args:
        flight: As it was recorded.
        arrivals: In order of `arrival_ns`.
        wanted: Which pairs got a result in flight; None for all.
        sinks: What takes results; the flight's own are left out.

    Raises:
        HSIEdgeError: A bundle or a file cannot be opened, or the rig is not known.
    """
    with ExitStack() as stack:
        engines = stack.enter_context(_ready(flight))
        live = _live(flight, engines, flight_rig(flight, None), sinks, arrivals=arrivals, wanted=wanted, replay=True)
        stack.callback(live.close)
        live.start()
        yield live


@contextmanager
def _ready(flight: Flight) -> Iterator[dict[Mode, HSIEngine]]:
    """The process made ready, and the flight's engines open."""
    # Before the bundles are opened, which may take long.
    if flight.rig is None and flight.simulation is None:
        raise InputError("the flight names no rig; find it from frames of both sensors with hsi-edge register")
    share_one_heap()
    with blas_on_one_thread(), ExitStack() as stack:
        yield {mode: stack.enter_context(engine) for mode, engine in open_engines(flight).items()}


def open_engines(flight: Flight) -> dict[Mode, HSIEngine]:
    """The flight's engines by what they make.

    Raises:
        InputError: A bundle is not of the kind that its key asks for.
        HSIEdgeError: A bundle cannot be opened.
    """
    with ExitStack() as stack:
        engines: dict[Mode, HSIEngine] = {}
        bundles: dict[Mode, str | None] = {"fusion": flight.bundle, "single": flight.single_bundle}
        for mode, bundle in bundles.items():
            if bundle is None:
                continue
            # A model without a graph takes no backend: the choice is the fusion's.
            backend, precision = (flight.backend, flight.precision) if mode == "fusion" else (None, None)
            engines[mode] = stack.enter_context(HSIEngine(bundle, backend=backend, precision=precision))
            if engines[mode].manifest.task != mode:
                raise InputError(
                    f"the bundle {bundle} is a {engines[mode].manifest.task} model; wanted a {mode} model as "
                    f"{'bundle' if mode == 'fusion' else 'single_bundle'} of the flight file"
                )
        ratios = {engine.manifest.ratio for engine in engines.values()}
        if len(ratios) > 1:
            raise InputError(
                f"the bundle {flight.bundle} has ratio {engines['fusion'].manifest.ratio}, and the single_bundle "
                f"{flight.single_bundle} has {engines['single'].manifest.ratio}: give two of the same ratio"
            )
        stack.pop_all()
    return engines


def _live(
    flight: Flight,
    engines: Mapping[Mode, HSIEngine],
    rig: Rig,
    sinks: Sequence[Sink],
    *,
    simulated: SimulatedPair | None = None,
    arrivals: Arrivals | None = None,
    wanted: Callable[[Pair], bool] | None = None,
    replay: bool = False,
) -> Live:
    """Put the parts together: for sensors, or for `arrivals` to be played."""
    paced = arrivals is None
    feed = Feed(
        partial(Intake, flight.pairing),
        policy=flight.queue if paced else "lossless",
        length=QUEUED_PAIRS,
        live=paced,
    )
    own = [] if replay else _own_sinks(flight)
    jobs, checker = _jobs_maker(flight, engines, rig), _checkers(flight, engines)
    recorder = None if replay or flight.record is None else Recorder(flight.record, _setup(flight, engines, rig))
    # Last, as whatever fails before leaves no sensor open.
    readings = {} if arrivals is not None else opened_readings(flight, simulated, feed)
    parts = Parts(
        feed=feed,
        readings=readings,
        playing=None if arrivals is None else Playing(arrivals, feed),
        jobs=jobs,
        engines=engines,
        checker=checker,
        withhold=flight.withhold,
        deadline_ms=flight.deadline_ms,
        lossless=flight.queue == "lossless" or not paced,
        recorder=recorder,
        sinks=[*own, *sinks],
        wanted=wanted,
    )
    return Live(parts)


def _jobs_maker(flight: Flight, engines: Mapping[Mode, HSIEngine], rig: Rig) -> Callable[[], Jobs]:
    ratio = engines["fusion"].manifest.ratio
    optics = Optics(
        spectral=spectral_correction(flight),
        rgb=rgb_correction(flight),
        warp=GridWarp(rig, ratio),
        refiner=Refiner(ratio, rig.psf_fwhm_lr * ratio),
        lr_shape=rig.lr_shape,
    )

    def new_jobs() -> Jobs:
        health = RgbHealth(flight.rgb_health, rig.msi_shape, engines["fusion"].manifest.msi.bands)
        return Jobs(optics, health, ModeChoice(flight.modes, has_single="single" in engines))

    return new_jobs


def _checkers(flight: Flight, engines: Mapping[Mode, HSIEngine]) -> dict[Mode, SelfChecker]:
    return {
        mode: SelfChecker(engine.manifest.ratio, engine.manifest.psf_fwhm_px, flight.check)
        for mode, engine in engines.items()
    }


def _own_sinks(flight: Flight) -> list[Sink]:
    sinks: list[Sink] = []
    if flight.frame_files is not None:
        if not Path(flight.frame_files.folder).is_dir():
            raise InputError(f"frame_files.folder: there is no folder {flight.frame_files.folder}; create it first")
        sinks.append(FrameFiles(flight.frame_files.folder, flight.frame_files.format))
    if flight.shared_memory is not None:
        sinks.append(SharedMemorySink(flight.shared_memory))
    return sinks


def flight_rig(flight: Flight, simulated: SimulatedPair | None) -> Rig:
    """Where on the RGB each spectral pixel is, from the flight's file or as it is simulated."""
    if flight.rig is not None:
        return read_rig(Path(flight.rig))
    assert simulated is not None, "a flight without simulation has a rig"
    return simulated.rig


def opened_simulation(flight: Flight, engine: HSIEngine) -> SimulatedPair | None:
    """The simulated sensors; None for real ones.

    Raises:
        InputError: What they are to fly over cannot be read, or does not fit the model.
    """
    simulation = flight.simulation
    if simulation is None:
        return None
    if simulation.sensors.ratio != engine.manifest.ratio:
        raise InputError(
            f"simulation.sensors.ratio is {simulation.sensors.ratio}, and the model {engine.manifest.name} has ratio "
            f"{engine.manifest.ratio}: make them the same"
        )
    return SimulatedPair(ground_cube(simulation.ground, engine), simulation.sensors, paced=simulation.paced)


def opened_readings(flight: Flight, simulated: SimulatedPair | None, feed: Feed) -> dict[Stream, Reading]:
    """The sensors, open, each with its thread, which is still to be started.

    Raises:
        SensorError: The spectral sensor is not there; or the RGB camera, where nothing can be done without it.
    """
    sources: dict[Stream, Source] = _sources(flight, simulated)
    with ExitStack() as stack:
        readings = {}
        for stream, source in sources.items():
            readings[stream] = Reading(stream, _opened(stream, source, flight), feed)
            stack.callback(readings[stream].source.close)
        stack.pop_all()
    return readings


def _sources(flight: Flight, simulated: SimulatedPair | None) -> dict[Stream, Source]:
    if simulated is not None:
        return {"spectral": simulated.spectral, "rgb": simulated.rgb}
    assert not isinstance(flight.rgb, SimulatedSettings)
    assert not isinstance(flight.spectral, SimulatedSettings)
    return {"spectral": _source("spectral", flight.spectral), "rgb": _source("rgb", flight.rgb)}


def _source(stream: Stream, settings: RgbSettings | SpectralSettings) -> Source:
    try:
        return source_of(settings)
    except InputError as err:
        raise InputError(f"{stream}: {err}") from err


def _opened(stream: Stream, source: Source, flight: Flight) -> Reopening:
    """A sensor that is there at the start; only an RGB camera that can be done without may come later."""
    reopening = Reopening(source)
    reopening.open(needed=stream == "spectral" or flight.single_bundle is None)
    return reopening


def _setup(flight: Flight, engines: Mapping[Mode, HSIEngine], rig: Rig) -> Setup:
    facts = []
    for mode, engine in engines.items():
        backend, precision, device = engine.runs_on
        facts.append(
            BundleFacts(
                role=mode,
                name=engine.manifest.name,
                manifest_sha256=engine.fingerprint,
                precision=precision,
                backend=backend,
                device=device,
            )
        )
    return Setup(files=packed(flight, rig), bundles=tuple(facts))
