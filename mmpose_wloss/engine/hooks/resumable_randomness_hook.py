import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, set_random_seed
from mmpose.registry import HOOKS
from torch import Tensor


class SeedSample:
    """A transform that seeds what the transforms after it draw from.

    Args:
        seed (int): The seed of the training.
        epoch (Tensor): The current epoch, a scalar in shared memory, so that
            persistent workers see it change.
    """

    def __init__(self, seed: int, epoch: Tensor):
        self.seed = seed
        self.epoch = epoch

    def __call__(self, results: dict) -> dict:
        """Seed NumPy and ``random`` by training, epoch and sample.

        Args:
            results (dict): The sample, with ``sample_idx``. Left as it is.

        Returns:
            dict: The same sample.
        """
        state = np.random.SeedSequence(
            (self.seed, int(self.epoch),
             results['sample_idx'])).generate_state(1)[0]
        np.random.seed(state)
        random.seed(int(state))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(seed={self.seed})'


def _base_datasets(dataset) -> Iterator[BaseDataset]:
    """The datasets that run the pipelines, below all wrappers."""
    children = getattr(dataset, 'datasets', None)
    if children is None and hasattr(dataset, 'dataset'):
        children = [dataset.dataset]
    if children is None:
        yield dataset
        return
    for child in children:
        yield from _base_datasets(child)


@HOOKS.register_module()
class ResumableRandomnessHook(Hook):
    """Let an interrupted training resume to the same result.

    MMEngine seeds a training once, at its start. A training that resumes
    starts from that seed again, so its augmentation (and, where the config
    names no seed, its order of samples) is another one. With this hook, all
    that an epoch draws follows from the seed, the epoch and the sample: it
    does not matter whether the training was interrupted before, nor how many
    workers load the data, nor whether they persist.

    Iteration-based loops replay their data loader when they resume; there the
    hook only restores the seed of the order of samples.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        """Take the seed, which a resumed training has from its checkpoint.

        Args:
            runner (Runner): The runner of the training process.
        """
        loader = runner.train_dataloader
        for sampler in (loader.sampler,
                        getattr(loader.batch_sampler, 'sampler', None)):
            if hasattr(sampler, 'seed'):
                sampler.seed = runner.seed
        self.seeds_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if not self.seeds_epochs:
            return
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        for dataset in _base_datasets(loader.dataset):
            dataset.pipeline.transforms.insert(
                0, SeedSample(runner.seed, self.epoch))

    def before_train_epoch(self, runner) -> None:
        """Tell the pipelines the epoch.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self.seeds_epochs:
            self.epoch.fill_(runner.epoch)

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch=None) -> None:
        """Seed what this process draws in the epoch.

        Not before the first batch is here: a data loader draws when it starts
        its workers, which persistent ones do in the first epoch alone.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): The number of the batch in the epoch.
            data_batch (dict): The batch.
        """
        if self.seeds_epochs and batch_idx == 0:
            set_random_seed((runner.seed + runner.epoch) % 2**32)
