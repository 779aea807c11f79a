"""How many images per second something takes."""

import statistics
import time
from collections.abc import Callable, Mapping


def images_per_second(run: Callable[[], object], batch_size: int = 1,
                      seconds: float = 2.) -> float:
    """The speed of a network, by the median time of a call.

    Args:
        run (Callable): Takes ``batch_size`` images through the network, and
            returns when they are through.
        batch_size (int): Images of a call. Defaults to 1.
        seconds (float): How long to measure, after a tenth of it to warm up;
            at least three calls are measured. Defaults to 2.

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
    _durations(run, seconds / 10, calls=1)
    return batch_size / statistics.median(_durations(run, seconds, calls=3))


def alternating_speeds(runs: Mapping[str, Callable[[], object]],
                       batch_size: int = 1, seconds: float = 2.,
                       rounds: int = 3) -> dict[str, list[float]]:
    """Speeds of several networks, measured in turn.

    What else the machine does meets all of them alike; every other round goes
    backwards, so that none always follows the same.

    Args:
        runs (Mapping[str, Callable]): As for :func:`images_per_second`, by
            name.
        batch_size (int): Images of a call. Defaults to 1.
        seconds (float): How long to measure each in each round. Defaults to 2.
        rounds (int): How often to go over all. Defaults to 3.

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
            speeds[name].append(images_per_second(run, batch_size, seconds))
    return speeds


def _durations(run: Callable[[], object], seconds: float,
               calls: int) -> list[float]:
    """Seconds of each call, for some time and so many calls at least."""
    durations = []
    end = time.perf_counter() + seconds
    while len(durations) < calls or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        durations.append(time.perf_counter() - start)
    return durations
