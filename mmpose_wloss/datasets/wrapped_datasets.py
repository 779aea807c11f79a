"""Data sets within others, such as ``CombinedDataset`` and ``RepeatDataset``."""

from collections.abc import Iterator, Sized

from mmpose.datasets import CombinedDataset

from ..common.errors import UserError
from ..compat.private_api import place_in_sources


def wrapped_by(dataset) -> list:
    """The data sets that one wraps itself, none if it has samples of its own."""
    one = getattr(dataset, 'dataset', None)
    return [*getattr(dataset, 'datasets', []), *([] if one is None else [one])]


def walk_datasets(dataset) -> Iterator:
    """A data set, then all within it, however deep."""
    yield dataset
    for wrapped in wrapped_by(dataset):
        yield from walk_datasets(wrapped)


def annotation_id(dataset: Sized, index: int):
    """The ``id`` of a sample, whose image is not read.

    Raises:
        UserError: If a ``CombinedDataset`` draws its samples at random.
    """
    # whose own get_data_info runs the pipelines of its data sets
    while isinstance(dataset, CombinedDataset):
        if dataset.resample:
            raise UserError('a CombinedDataset with sample_ratio_factor draws its '
                            'samples at random, so none has a weight: leave that out')
        source, index = place_in_sources(dataset, index)
        dataset = dataset.datasets[source]
    return dataset.get_data_info(index)['id']
