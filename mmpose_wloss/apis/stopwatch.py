import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """What time went to.

    .. code-block:: python

        with stopwatch('network'):
            model(images)

    Attributes:
        seconds (dict[str, float]): By what it went to.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time of a block.

        Args:
            name (str): What it goes to.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(
                name, 0.) + time.perf_counter() - start
