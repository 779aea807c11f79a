import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """What time went to: ``with stopwatch('network'): model(images)``.

    Attributes:
        seconds (dict[str, float]): By the name of the part.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of a block to the part of this name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(
                name, 0.) + time.perf_counter() - start
