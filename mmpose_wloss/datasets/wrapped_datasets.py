"""Data sets within others, such as ``CombinedDataset`` and ``RepeatDataset``."""

from collections.abc import Iterator


def wrapped_by(dataset) -> list:
    """The data sets that one wraps itself, none if it has samples of its own."""
    one = getattr(dataset, 'dataset', None)
    return [*getattr(dataset, 'datasets', []), *([] if one is None else [one])]


def walk_datasets(dataset) -> Iterator:
    """A data set, then all within it, however deep."""
    yield dataset
    for wrapped in wrapped_by(dataset):
        yield from walk_datasets(wrapped)
