import json
import math
from pathlib import Path

import torch
from mmengine.dist import all_reduce, get_comm_device, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmpose.registry import HOOKS

from ...common.checks import non_negative, one_of, positive, whole, within
from ...common.errors import UserError
from ...common.files import write_whole
from ...common.hooks import model_of, progress_of
from ...common.state_dicts import check_same_model
from ...compat.private_api import is_resuming
from ...models.wrapped_networks import save_networks

# the share of the full consistency weight, at a progress from 0 to 1; the sigmoid
# is that of Laine & Aila, Temporal Ensembling, 2017
RAMPS = {
    'constant': lambda progress: 1.,
    'linear': lambda progress: progress,
    'sigmoid': lambda progress: math.exp(-5 * (1 - progress)**2),
}


@HOOKS.register_module()
class DualNetworkHook(Hook):
    """Looks after the networks of a :class:`PoseCons` or its kin.

    It ramps the consistency weight, has the hardness of hard views measured, watches
    for the collapse, in which networks agree on predicting background, tells
    :class:`PoseTriple` when a pass over the data ends, and refuses to resume from other
    networks' checkpoints. At the end of the training it writes each
    network as a plain stock checkpoint, ``{name}.pth`` in the work directory, with its
    config ``network.py``, and ``networks.json``, which marks the best.

    Args:
        ramp (str): ``'constant'``, as in the original code, ``'linear'`` or
            ``'sigmoid'``.
        ramp_length (float): Over how many epochs (iterations where the training
            counts those) the weight grows from 0.
        collapse_ratio (float): A network has collapsed where joints of unlabeled
            images score below this share, less than 1, of what they score on
            labeled ones, on average. 0 turns the watch off.
        min_peak (float): Below this score of labeled joints, the network has not
            learned enough to collapse.
        interval (int): Iterations between two checks, over which scores are
            averaged.
        on_collapse (str): ``'warn'``, or ``'stop'`` to end the training, where it
            counts epochs after the present one.
        hardness_interval (int): Iterations between two measurements of
            :meth:`~EasyHardConsistency.hardness`, which the log then has; 0: none.
        best (str, optional): Metric by which the best network is marked, under its
            plain name. Defaults to the first of the evaluator's.
        rule (str): ``'greater'`` or ``'less'``: which value is better.
    """

    # after the log is written, before checkpoints are
    priority = 'LOW'

    def __init__(self, ramp: str = 'constant', ramp_length: float = 0,
                 collapse_ratio: float = 0.3, min_peak: float = 0.2,
                 interval: int = 100, on_collapse: str = 'warn',
                 hardness_interval: int = 100,
                 best: str | None = None, rule: str = 'greater'):
        one_of(RAMPS, ramp=ramp)
        (non_negative if ramp == 'constant' else positive)(ramp_length=ramp_length)
        within(0, math.nextafter(1, 0), collapse_ratio=collapse_ratio)
        whole(1, interval=interval)
        whole(0, hardness_interval=hardness_interval)
        one_of(('warn', 'stop'), on_collapse=on_collapse)
        one_of(('greater', 'less'), rule=rule)
        self.ramp = ramp
        self.ramp_length = ramp_length
        self.collapse_ratio = collapse_ratio
        self.min_peak = min_peak
        self.interval = interval
        self.on_collapse = on_collapse
        self.hardness_interval = hardness_interval
        self.best = best
        self.rule = rule
        self.collapsed = set()

    def before_train(self, runner) -> None:
        """Check that model and data belong together.

        Raises:
            UserError: If the model has no networks, or sampler and loader have
                other batch sizes.
        """
        self.model = model_of(runner)
        if not hasattr(self.model, 'networks'):
            raise UserError('DualNetworkHook is for PoseCons, PoseDual and PoseTriple, '
                            f'but the model is a {type(self.model).__name__}')
        self.model.hook_ran = True
        self.full_weight = self.model.consistency_weight
        loader = runner.train_dataloader
        mixed = getattr(loader.sampler, 'batch_size', loader.batch_size)
        if mixed != loader.batch_size:
            raise UserError(
                f'train_dataloader.batch_size is {loader.batch_size}, but its '
                f'sampler mixes batches of {mixed}: set sampler.batch_size to the '
                'same number')

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Set the consistency weight, and whether hardness is measured."""
        self.model.measures_hardness = self.hardness_interval > 0 and (
            self.every_n_train_iters(runner, self.hardness_interval))
        if self.ramp == 'constant':
            return
        now, _ = progress_of(runner, batch_idx)
        self.model.consistency_weight = self.full_weight * RAMPS[self.ramp](
            min(1., now / self.ramp_length))

    def after_train_iter(self, runner, batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Tell that a pass over the data has ended, and watch for a collapse."""
        if self.every_n_inner_iters(batch_idx, len(runner.train_dataloader)):
            self.model.end_round()
        if not self.collapse_ratio or not self.every_n_train_iters(
                runner, self.interval):
            return
        names = list(self.model.networks)
        scalars = runner.message_hub.log_scalars
        # the message hub keeps plain numbers: nothing waits for the device
        peaks = torch.tensor([
            [scalars[f'train/{name}.peak_{part}'].mean(self.interval)
             for part in ('labeled', 'unlabeled')] for name in names],
            device=get_comm_device())
        # each process sees other images, but all must stop together
        all_reduce(peaks, 'mean')
        for name, (labeled, unlabeled) in zip(names, peaks.tolist(), strict=True):
            if (labeled < self.min_peak or
                    unlabeled >= self.collapse_ratio * labeled):
                self.collapsed.discard(name)
            elif name not in self.collapsed:
                self.collapsed.add(name)
                runner.logger.warning(
                    f'The network {name!r} collapses: it scores joints of labeled '
                    f'images {labeled:.3f} on average, those of unlabeled ones only '
                    f'{unlabeled:.3f}, and so teaches background. Make the hard '
                    'views harder than the easy ones (more in hard_views, less in '
                    'the pipeline of the unlabeled data), or lower '
                    'consistency_weight, or ramp it')
                if self.on_collapse == 'stop':
                    runner.train_loop.stop_training = True

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to resume from a checkpoint of other networks.

        Raises:
            UserError: If names or shapes of parameters differ.
        """
        if is_resuming(runner):
            check_same_model(
                runner, checkpoint, 'with the same `network` and teacher only')

    def after_train(self, runner) -> None:
        """Write each network as a stock checkpoint, and mark the best."""
        if not is_main_process():
            return
        folder = Path(runner.work_dir)
        names = [name for name in self.model.predictors if name != 'ensemble']
        save_networks(runner, names, folder, 'network.py')
        summary = dict(format=1, config='network.py', epoch=runner.epoch,
                       checkpoints={name: f'{name}.pth' for name in names},
                       **self._best(names, runner.message_hub))
        write_whole(folder / 'networks.json', json.dumps(summary, indent=1) + '\n')
        runner.logger.info(f'Networks written to {folder}: {", ".join(names)}; the '
                           f'best is {summary.get("best", "not known")}')

    def _best(self, names: list[str], message_hub: MessageHub) -> dict:
        """The best network by the last validation, as far as there was one."""
        # a resumed training has them from its checkpoint
        validation = {key.removeprefix('val/'): value.current() for key, value in
                      message_hub.log_scalars.items() if key.startswith('val/')}
        metric = self.best or next(
            (key.split('/', 1)[1] for key in validation
             if key.split('/')[0] in names), None)
        values = {name: float(validation[f'{name}/{metric}'])
                  for name in names if f'{name}/{metric}' in validation}
        if not values:
            return {}
        choose = max if self.rule == 'greater' else min
        return dict(best=choose(values, key=values.get), metric=metric, values=values)
