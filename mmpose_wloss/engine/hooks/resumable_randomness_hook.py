from functools import partial

import numpy as np
from mmengine.dataset import worker_init_fn
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, set_random_seed
from mmpose.registry import HOOKS

from ...compat.private_api import start_workers_anew


@HOOKS.register_module()
class ResumableRandomnessHook(Hook):
    """Let an interrupted training resume to the same result.

    MMEngine seeds a training once, at its start. A training that resumes starts
    from that seed again, so its augmentation (and, where the config names no seed,
    its order of samples) is another one. With this hook, all that an epoch draws
    follows from the seed and the epoch: in the processes that load data, which start
    anew with each epoch (persistent ones too), and in the one that trains.

    Iteration-based loops replay their data loader when they resume; they need a seed
    in the config, workers (``num_workers`` above 0), and this hook for what the
    training process draws, which it seeds with each iteration. A ``worker_init_fn``
    of the config's own is left to seed as it does, and a sampler to its ``seed``.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        """Take the seed, which a resumed training has from its checkpoint."""
        self.seeds_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        # with diff_rank_seed each process has its own
        seeds = [runner.seed]
        broadcast_object_list(seeds)
        self.seed = seeds[0]
        if self.seeds_epochs:
            loader = runner.train_dataloader
            config = runner.cfg.get('train_dataloader', {}).get('sampler', {})
            if config.get('seed') is not None:
                return
            for sampler in (loader.sampler,
                            getattr(loader.batch_sampler, 'sampler', None)):
                if hasattr(sampler, 'seed'):
                    sampler.seed = self.seed

    def before_train_epoch(self, runner) -> None:
        """Seed what the epoch draws."""
        if not self.seeds_epochs:
            return
        seed = self._seed_of(runner.epoch)
        loader, rank = runner.train_dataloader, get_rank()
        if getattr(loader.worker_init_fn, 'func', None) is worker_init_fn:
            loader.worker_init_fn = partial(
                worker_init_fn, num_workers=loader.num_workers, rank=rank, seed=seed)
            # persistent workers would go on with what they drew before
            start_workers_anew(loader)
        set_random_seed(seed + rank)

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Seed what an iteration draws, where there are no epochs."""
        if not self.seeds_epochs:
            set_random_seed(self._seed_of(runner.iter) + get_rank())

    def _seed_of(self, count: int) -> int:
        return int(np.random.SeedSequence(
            (self.seed, count)).generate_state(1)[0]) // 2
