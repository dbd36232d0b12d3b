from __future__ import annotations

import threading

from hsi_edge.live.delivery import Delivery
from hsi_edge.live.result import LiveResult
from tests.hsi_edge.live.flights import Kept
from tests.hsi_edge.live.live_results import made_result, wait_until


class Raising(Kept):
    def take(self, result: LiveResult) -> None:
        super().take(result)
        if result.number % 2:
            raise OSError("no\nroom")


class Held(Kept):
    """Blocks until it is let go."""

    def __init__(self) -> None:
        super().__init__("held")
        self.reached, self.go = threading.Event(), threading.Event()

    def take(self, result: LiveResult) -> None:
        self.reached.set()
        self.go.wait()
        super().take(result)


def begun(sink: Kept, *, lossless: bool = False) -> Delivery:
    delivery = Delivery(sink, length=2, lossless=lossless)
    delivery.start()
    return delivery


def ended(delivery: Delivery) -> None:
    delivery.finish()
    delivery.join(10)


def numbers(sink: Kept) -> list[int]:
    return [result.number for result in sink.results]


def test_what_is_queued_is_delivered_before_the_sink_is_closed_once() -> None:
    sink = Kept()
    delivery = begun(sink, lossless=True)
    for number in range(5):
        delivery.put(made_result(number))
    ended(delivery)
    ended(delivery)
    assert numbers(sink) == list(range(5))
    assert sink.closed == 1
    assert delivery.status().taken == 5


def test_a_sink_that_raises_is_given_the_next_result_and_its_error_is_one_line() -> None:
    sink = Raising()
    delivery = begun(sink, lossless=True)
    for number in range(4):
        delivery.put(made_result(number))
    ended(delivery)
    assert numbers(sink) == [0, 1, 2, 3]
    status = delivery.status()
    assert (status.taken, status.failed, status.error) == (2, 2, "no room")


def test_results_pass_a_busy_sink_by_and_the_newest_wait() -> None:
    sink = Held()
    delivery = begun(sink)
    delivery.put(made_result(0))
    sink.reached.wait(10)
    for number in range(1, 6):
        delivery.put(made_result(number))
    assert delivery.status().passed_by == 3
    sink.go.set()
    ended(delivery)
    assert numbers(sink) == [0, 4, 5]


def test_lossless_waits_for_a_busy_sink_until_the_end_is_near() -> None:
    sink = Held()
    delivery = begun(sink, lossless=True)
    delivery.put(made_result(0))
    sink.reached.wait(10)
    pipeline = threading.Thread(target=lambda: [delivery.put(made_result(number)) for number in (1, 2, 3)])
    pipeline.start()
    wait_until(lambda: len(delivery._queue) == 2)
    assert pipeline.is_alive()
    delivery.finish()
    pipeline.join(10)
    assert not pipeline.is_alive()
    sink.go.set()
    delivery.join(10)
    assert numbers(sink) == [0, 2, 3]
    assert delivery.status().passed_by == 1


def test_a_sink_that_blocks_for_ever_is_left_and_the_status_says_so() -> None:
    sink = Held()
    delivery = begun(sink)
    delivery.put(made_result(0))
    sink.reached.wait(10)
    delivery.finish()
    delivery.join(0.01)
    assert delivery.status().failed == 1
    assert "did not end" in delivery.status().error
    sink.go.set()
    delivery.join(10)


def test_a_sink_whose_flight_never_began_is_closed_all_the_same() -> None:
    sink = Kept()
    ended(Delivery(sink, length=2, lossless=False))
    assert sink.closed == 1
