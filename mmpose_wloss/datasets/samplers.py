from collections.abc import Iterator, Sized
from itertools import islice

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmpose.datasets import MultiSourceSampler
from mmpose.registry import DATA_SAMPLERS

from ..common.checks import positive, whole
from ..common.errors import UserError
from .transforms.quick_transforms import share_metainfo


@DATA_SAMPLERS.register_module()
class DrawSampler(DefaultSampler):
    """Epochs of so many samples, each drawn from the whole data set.

    Draws are independent: a sample may come twice in an epoch, and others in none.
    Where a data set is so large that one pass over it takes days, such as
    Human3.6M, epochs of a chosen length say when to validate. The original code of
    integral 3D pose draws so.

    Args:
        dataset (Sized): The data set.
        num_samples (int): Samples of an epoch, of each process: so the number of
            iterations does not depend on that of processes.
        seed (int, optional): Seed of the draws; ``None``: a random one, the same in
            all processes.

    Raises:
        UserError: If ``num_samples`` is no whole number above 0.
    """

    def __init__(self, dataset: Sized, num_samples: int,
                 seed: int | None = None) -> None:
        whole(num_samples=num_samples)
        super().__init__(dataset, seed=seed)
        self.num_samples = num_samples
        self.total_size = num_samples * self.world_size

    def __iter__(self) -> Iterator[int]:
        """The indices of this rank's samples in the epoch."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        drawn = torch.randint(len(self.dataset), (self.total_size, ),
                              generator=generator)
        return iter(drawn[self.rank::self.world_size].tolist())


@DATA_SAMPLERS.register_module()
class EpochMultiSourceSampler(MultiSourceSampler):
    r"""Batches of a fixed mixture, in epochs that can be counted.

    Each batch holds the same number of samples of each source, as with the stock
    ``MultiSourceSampler``: :math:`n_s` of source s, those of source 0 first. An
    epoch is one pass over the source that takes the most batches:

    .. math::
        \text{iterations} = \max_s \frac{\text{length}_s}
        {n_s \cdot \text{world size}}

    A source is read in an endless row of permutations, and an epoch goes on where the
    one before ended. So over epochs, each source is covered evenly; one that is smaller
    than its share of a batch is in the batch more than once. Permutation p of a source
    follows from the seed, the source and p alone. The ranks take turns in one order.

    Args:
        dataset (CombinedDataset): The data set; its data sets are the sources.
        batch_size (int): Samples in a batch of one rank.
        source_ratio (list[int | float]): Share of each source in a batch, above 0.
            Shares are rounded down; source 0 takes what is left.
        shuffle (bool): Permute each source; otherwise take it in its order.
        round_up (bool): Fill the last batch of an epoch from the next pass.
            Otherwise leave it out; what it would have held begins the next epoch.
        seed (int, optional): Seed of the permutations, at least 0, read when an epoch
            begins; ``None``: a random one, the same in all ranks.

    Raises:
        UserError: If a source is empty or has no share of a batch, or with
            ``round_up=False`` if no source fills its share of one batch.
    """

    def __init__(self, dataset: Sized, batch_size: int, source_ratio: list[int | float],
                 shuffle: bool = True, round_up: bool = True,
                 seed: int | None = None) -> None:
        for source, ratio in enumerate(source_ratio):
            positive(**{f'source_ratio[{source}]': ratio})
        super().__init__(dataset, batch_size, source_ratio, shuffle, round_up, seed)
        share_metainfo(dataset)
        # the stock order, which goes on without regard to epochs
        del self.source2inds
        self.epoch = 0

        self.lengths = np.diff(self.cumulative_sizes).tolist()
        iterations = 0
        for source, (length, share) in enumerate(
                zip(self.lengths, self.num_per_source, strict=True)):
            if not length:
                raise UserError(f'source {source} of the CombinedDataset is empty')
            if not share > 0:
                raise UserError(
                    f'source_ratio {source_ratio} leaves source {source} no sample '
                    f'in a batch of {batch_size}')
            full, left = divmod(length, share * self.world_size)
            iterations = max(iterations, full + (left > 0 and round_up))
        if not iterations:
            raise UserError(
                f'round_up=False leaves no batch of {self.num_per_source} in each of '
                f'{self.world_size} processes: the sources have {self.lengths} samples')
        self.num_samples = iterations * batch_size

    def __iter__(self) -> Iterator[int]:
        """The indices of this rank's samples in the epoch."""
        orders = [islice(self._order(source), self.rank, None, self.world_size)
                  for source in range(len(self.lengths))]
        for _ in range(self.num_samples // self.batch_size):
            for order, share in zip(orders, self.num_per_source, strict=True):
                yield from islice(order, share)

    def _order(self, source: int) -> Iterator[int]:
        """A source's order for all ranks, from the epoch's first sample on."""
        length, offset = self.lengths[source], self.cumulative_sizes[source]
        batches = self.num_samples // self.batch_size * self.world_size
        taken = self.epoch * batches * self.num_per_source[source]
        number, start = divmod(taken, length)
        while True:
            permutation = np.arange(offset, offset + length)
            if self.shuffle:
                np.random.default_rng(
                    (self.seed, source, number)).shuffle(permutation)
            yield from permutation[start:].tolist()
            number, start = number + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, counted from 0."""
        self.epoch = epoch
