"""The simulated flight that the live pipeline is measured on: the committed Salton Sea sample as the ground."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hsi_edge.live.flight import Flight, Simulation, read_flight
from hsi_edge.live.ground import Ground
from hsi_edge.live.recorder import RecorderSettings
from hsi_edge.sensors.simulated_faults import Fault
from hsi_edge.sensors.simulated_settings import SimulationSettings

SAMPLE = Path(__file__).parents[2] / "apps" / "samples" / "live.yaml"


def simulated_flight(
    *,
    bundle: str | None = None,
    lr_side: int = 32,
    seconds: float | None = None,
    faults: tuple[Fault, ...] = (),
    paced: bool = False,
    record_to: Path | None = None,
    ground: Ground | None = None,
) -> Flight:
    """A flight like that of apps/samples/live.yaml.

    Args:
        bundle: Name of a shipped fusion model of ratio 8; None for the sample's.
        lr_side: Rows and columns of the spectral frame.
        seconds: How long it lasts; None for ever.
        faults: What goes wrong.
        paced: Whether in real time.
        record_to: Folder for a recording; None for none.
        ground: What to fly over; None for the sample's.
    """
    flight = read_flight(SAMPLE)
    assert flight.simulation is not None
    sensors: SimulationSettings = replace(
        flight.simulation.sensors, lr_rows=lr_side, lr_cols=lr_side, seconds=seconds, faults=faults
    )
    return replace(
        flight,
        bundle=flight.bundle if bundle is None else str(Path(flight.bundle).parent / bundle),
        simulation=Simulation(ground=ground or flight.simulation.ground, sensors=sensors, paced=paced),
        record=None if record_to is None else RecorderSettings(folder=str(record_to)),
    )
