"""Images per second."""

from mmpose_wloss.engine import speed
from mmpose_wloss.engine.speed import (
    alternating_speeds,
    images_per_second,
    processor_name,
)

import pytest


class Clock:
    """A clock that a call moves on, in the place of the real one."""

    def __init__(self):
        self.now = 0.

    def __call__(self) -> float:
        return self.now

    def call(self, seconds):
        def run():
            self.now += seconds
        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed.time, 'perf_counter', clock)
    return clock


def test_images_per_second(clock):
    assert images_per_second(clock.call(0.1), 1, 1., clock) == pytest.approx(10)
    assert images_per_second(clock.call(0.1), 4, 1., clock) == pytest.approx(40)
    # at least three calls, however long they take
    start = clock.now
    assert images_per_second(clock.call(50.), 1, 1., clock) == pytest.approx(
        0.02)
    assert clock.now - start == pytest.approx(200)


def test_the_median_forgets_a_disturbance(clock):
    calls = iter([0.1] * 3 + [9.] + [0.1] * 30)
    found = images_per_second(
        lambda: setattr(clock, 'now', clock.now + next(calls)), 1, 2., clock)
    assert found == pytest.approx(10)


def test_all_take_turns(clock):
    order = []

    def run(name, seconds):
        order.append(name)
        clock.now += seconds

    found = alternating_speeds(dict(
        slow=lambda: run('slow', 0.5), fast=lambda: run('fast', 0.25)),
        2, 1., 2, clock)
    assert found['slow'] == pytest.approx([4, 4])
    assert found['fast'] == pytest.approx([8, 8])
    turns = [name for name, before in zip(order, [None, *order], strict=False)
             if name != before]
    assert turns == ['slow', 'fast', 'slow']


@pytest.mark.parametrize('arguments', [
    dict(batch_size=0), dict(seconds=0.), dict(rounds=0)])
def test_wrong_numbers(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        alternating_speeds(dict(a=lambda: None), **arguments)


def test_the_processor_has_a_name():
    assert processor_name()
