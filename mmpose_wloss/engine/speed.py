"""How many images per second something takes."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def images_per_second(run: Callable[[], object], batch_size: int = 1,
                      seconds: float = 2.,
                      clock: Callable[[], float] = time.perf_counter) -> float:
    """The speed of a network, by the median time of a call.

    Args:
        run (Callable): Takes ``batch_size`` images through the network, and
            returns when they are through.
        batch_size (int): Images of a call. Defaults to 1.
        seconds (float): How long to measure, after a tenth of it to warm up;
            at least three calls are measured. Defaults to 2.
        clock (Callable): What tells the seconds of a call. Defaults to the
            wall's. ``time.process_time`` counts what this process works,
            whatever else the machine does: a fair figure for one thread.

    Returns:
        float: Images per second.

    Raises:
        ValueError: If ``batch_size`` or ``seconds`` is not positive.

    Example:
        >>> import time
        >>> speed = images_per_second(lambda: time.sleep(0.01), 4, seconds=0.1)
        >>> 100 < speed <= 400
        True
    """
    if batch_size < 1 or seconds <= 0:
        raise ValueError('batch_size must be at least 1 and seconds above 0, '
                         f'but they are {batch_size} and {seconds}')
    _durations(run, seconds / 10, 1, clock)
    return batch_size / statistics.median(_durations(run, seconds, 3, clock))


def alternating_speeds(runs: Mapping[str, Callable[[], object]],
                       batch_size: int = 1, seconds: float = 2.,
                       rounds: int = 3,
                       clock: Callable[[], float] = time.perf_counter
                       ) -> dict[str, list[float]]:
    """Speeds of several networks, measured in turn.

    What else the machine does meets all of them alike; every other round goes
    backwards, so that none always follows the same.

    Args:
        runs (Mapping[str, Callable]): As for :func:`images_per_second`, by
            name.
        batch_size (int): Images of a call. Defaults to 1.
        seconds (float): How long to measure each in each round. Defaults to 2.
        rounds (int): How often to go over all. Defaults to 3.
        clock (Callable): As for :func:`images_per_second`.

    Returns:
        dict[str, list[float]]: Images per second of each round, by name.

    Raises:
        ValueError: If a number is not positive.
    """
    if rounds < 1:
        raise ValueError(f'rounds must be at least 1, but it is {rounds}')
    speeds = {name: [] for name in runs}
    for number in range(rounds):
        order = list(runs.items())
        for name, run in order[::-1] if number % 2 else order:
            speeds[name].append(images_per_second(run, batch_size, seconds,
                                                   clock))
    return speeds


def processor_name() -> str:
    """What the processor calls itself."""
    information = Path('/proc/cpuinfo')
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def _durations(run: Callable[[], object], seconds: float, calls: int,
               clock: Callable[[], float]) -> list[float]:
    """Seconds of each call, for some time and so many calls at least."""
    durations = []
    end = time.perf_counter() + seconds
    while len(durations) < calls or time.perf_counter() < end:
        start = clock()
        run()
        durations.append(clock() - start)
    return durations
