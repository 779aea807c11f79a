from collections.abc import Iterator, Sequence, Sized
from itertools import islice

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.logging import MessageHub, MMLogger
from mmpose.datasets import MultiSourceSampler
from mmpose.registry import DATA_SAMPLERS

from ..common.checks import non_negative, positive, whole
from ..common.errors import UserError
from ..pose_density import PoseDensityArtifact, effective_sample_size
from .poses import annotation_files, joint_names
from .transforms.quick_transforms import share_metainfo
from .wrapped_datasets import annotation_id, walk_datasets, wrapped_by


def pose_weights(dataset: Sized, file: str) -> np.ndarray:
    """The weights of a data set's samples in the file of a pose density.

    Args:
        dataset (Dataset): A top-down data set, or a wrapper of some.
        file (str): The density, ``.npz``.

    Returns:
        np.ndarray: In the order of the samples, float64 in shape [N].

    Raises:
        MissingFile: If there is no such file.
        UserError: If it is of other annotations or joints, or lacks a sample; or if a
            data set reads a folder, or draws its samples at random.
    """
    artifact = PoseDensityArtifact.load(file)
    for each in walk_datasets(dataset):
        if not wrapped_by(each):
            artifact.check_joints(joint_names(each.metainfo),
                                  f'the data set {each.metainfo["dataset_name"]}')
            if not all(annotation_files(each)):
                raise UserError(
                    f'{file} has weights by the ids of annotations, but a '
                    f'{type(each).__name__} of {each.data_prefix} has no ann_file: '
                    'give it the one that the density is of')
            artifact.check_annotations(annotation_files(each))
    weights = artifact.by_id()
    # a sample of several people has several
    ids = [np.asarray(annotation_id(dataset, index)) for index in range(len(dataset))]
    if any(each.ndim for each in ids) or not (
            weights.keys() >= {each.item() for each in ids}):
        raise UserError(
            f'{file} has no weights for all samples of '
            f'{type(dataset).__name__}: fit a density to the people that are trained '
            'on, one a sample')
    return np.array([weights[each.item()] for each in ids])


def draw_by_weights(weights: np.ndarray, count: int,
                    generator: np.random.Generator) -> np.ndarray:
    r"""Draw samples in proportion to their weights, as evenly as it can be done.

    Sample i comes :math:`\lfloor c_i \rfloor` or :math:`\lceil c_i \rceil` times,
    :math:`c_i = \text{count} \cdot w_i / \sum w` on average (systematic sampling). So
    equal weights with a count of all samples make a permutation.

    Args:
        weights (np.ndarray): Above 0, in shape [N].
        count (int): How many to draw.
        generator (np.random.Generator): What they are drawn by.

    Returns:
        np.ndarray: Indices in random order, in shape [count].
    """
    order = generator.permutation(len(weights))
    ends = np.cumsum(weights[order])
    ends *= count / ends[-1]
    # the last end may be a rounding short of the count
    drawn = order[np.searchsorted(ends[:-1], np.arange(count) + generator.random(),
                                  side='right')]
    generator.shuffle(drawn)
    return drawn


@DATA_SAMPLERS.register_module()
class PoseDensitySampler(DefaultSampler):
    """Epochs that show rare poses more often, instead of weighting their loss.

    A person is drawn in proportion to its weight in a file of ``python -m
    mmpose_wloss density fit``, whatever its mode: the tempered inverse of the density,
    repeat factors, effective numbers. A rare pose is then seen with new augmentation
    each time, and any model, head and loss can learn from it. In an epoch, a person
    comes as often as its share says, rounded up or down; with equal weights, once.

    The message hub gets ``train/pose_density/effective_sample_size`` of each epoch: of
    how often people come, over all people.

    Args:
        dataset (Sized): A top-down data set, or a wrapper of some.
        file (str): The pose density, ``.npz``.
        num_samples (int, optional): Samples of an epoch, of each process; ``None``: as
            many as the data set has, over all processes.
        begin (int): Epoch from which on weights count; before, an epoch is a
            permutation.
        seed (int, optional): Seed of the draws; ``None``: a random one, the same in
            all processes.

    Raises:
        MissingFile: If there is no such file.
        UserError: If it does not fit the data set, or a number is out of its range.
    """

    source = 'python -m mmpose_wloss density fit CONFIG'
    file_keys = ('file', )

    def __init__(self, dataset: Sized, file: str, num_samples: int | None = None,
                 begin: int = 0, seed: int | None = None) -> None:
        non_negative(begin=begin)
        super().__init__(dataset, seed=seed)
        if num_samples is not None:
            whole(num_samples=num_samples)
            self.num_samples = num_samples
            self.total_size = num_samples * self.world_size
        self.begin = begin
        self.weights = pose_weights(dataset, file)
        MMLogger.get_current_instance().info(
            f'{len(self.weights)} samples are drawn by {file}, effective sample size '
            f'{effective_sample_size(self.weights):.3f}')

    def __iter__(self) -> Iterator[int]:
        """The indices of this rank's samples in the epoch."""
        weights = (self.weights if self.epoch >= self.begin else
                   np.ones(len(self.weights)))
        drawn = draw_by_weights(weights, self.total_size,
                                np.random.default_rng((self.seed, self.epoch)))
        MessageHub.get_current_instance().update_scalar(
            'train/pose_density/effective_sample_size',
            effective_sample_size(np.bincount(drawn, minlength=len(weights))))
        return iter(drawn[self.rank::self.world_size].tolist())


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
    Samples of a clip (``clip_length`` of :class:`UnlabeledPoseDataset`) stay together.

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
        densities (Sequence[str | None], optional): For each source the file of a pose
            density, by whose weights its passes are drawn, as by
            :class:`PoseDensitySampler`; ``None``: permutations.

    Raises:
        MissingFile: If the file of a density is missing.
        UserError: If densities do not fit the sources, a source is empty, has no share
            of a batch or one that is not of whole clips, or with ``round_up=False`` if
            no source fills its share of one batch.
    """

    source = PoseDensitySampler.source
    file_keys = ('densities', )

    def __init__(self, dataset: Sized, batch_size: int, source_ratio: list[int | float],
                 shuffle: bool = True, round_up: bool = True,
                 seed: int | None = None,
                 densities: Sequence[str | None] | None = None) -> None:
        for source, ratio in enumerate(source_ratio):
            positive(**{f'source_ratio[{source}]': ratio})
        super().__init__(dataset, batch_size, source_ratio, shuffle, round_up, seed)
        share_metainfo(dataset)
        # the stock order, which goes on without regard to epochs
        del self.source2inds
        self.epoch = 0

        self.lengths = np.diff(self.cumulative_sizes).tolist()
        self.clip_lengths = [getattr(each, 'clip_length', 1)
                             for each in dataset.datasets]
        iterations = 0
        for source, (length, share) in enumerate(
                zip(self.lengths, self.num_per_source, strict=True)):
            if not length:
                raise UserError(f'source {source} of the CombinedDataset is empty')
            if not share > 0:
                raise UserError(
                    f'source_ratio {source_ratio} leaves source {source} no sample '
                    f'in a batch of {batch_size}')
            clip = self.clip_lengths[source]
            if share % clip or length % clip:
                raise UserError(
                    f'source {source} of the CombinedDataset has clip_length={clip}, '
                    f'but {length} samples, of which a batch takes {share}. Both must '
                    'be multiples of it: change batch_size and source_ratio of the '
                    'sampler, or the indices of the data set')
            full, left = divmod(length, share * self.world_size)
            iterations = max(iterations, full + (left > 0 and round_up))
        if not iterations:
            raise UserError(
                f'round_up=False leaves no batch of {self.num_per_source} in each of '
                f'{self.world_size} processes: the sources have {self.lengths} samples')
        self.num_samples = iterations * batch_size
        densities = densities or [None] * len(self.lengths)
        if len(densities) != len(self.lengths):
            raise UserError(f'densities must have an entry for each of the '
                            f'{len(self.lengths)} sources, but it is {densities}')
        if any(densities) and not shuffle:
            raise UserError(f'shuffle=False goes through the sources in their order, '
                            f'so it does not go with densities={densities}')
        self.weights = [pose_weights(each, file) if file else None
                        for each, file in zip(dataset.datasets, densities, strict=True)]
        for source, weights in enumerate(self.weights):
            if weights is not None and len(weights) != self.lengths[source]:
                raise UserError(
                    f'densities: source {source} of the CombinedDataset has '
                    f'{len(weights)} samples, but counts {self.lengths[source]} by its '
                    'sample_ratio_factor: leave that out')

    def __iter__(self) -> Iterator[int]:
        """The indices of this rank's samples in the epoch."""
        orders = [islice(self._order(source), self.rank, None, self.world_size)
                  for source in range(len(self.lengths))]
        for _ in range(self.num_samples // self.batch_size):
            for order, share, clip in zip(
                    orders, self.num_per_source, self.clip_lengths, strict=True):
                for first in islice(order, share // clip):
                    yield from range(first, first + clip)

    def _order(self, source: int) -> Iterator[int]:
        """First samples of a source's clips for all ranks, from the epoch's on."""
        length, offset = self.lengths[source], self.cumulative_sizes[source]
        clip = self.clip_lengths[source]
        batches = self.num_samples // self.batch_size * self.world_size
        number, start = divmod(
            self.epoch * batches * self.num_per_source[source] // clip, length // clip)
        while True:
            taken = np.arange(length // clip)
            generator = np.random.default_rng((self.seed, source, number))
            if self.weights[source] is not None:
                taken = draw_by_weights(self.weights[source], len(taken), generator)
            elif self.shuffle:
                generator.shuffle(taken)
            yield from (offset + clip * taken[start:]).tolist()
            number, start = number + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, counted from 0."""
        self.epoch = epoch
