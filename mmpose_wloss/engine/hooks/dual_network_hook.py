import json
import math
from pathlib import Path

import torch
from mmengine.dist import all_reduce, get_comm_device, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop
from mmpose.registry import HOOKS

from ...common.files import write_whole
from ...common.state_dicts import check_same_model
from ...compat.private_api import is_resuming
from ...models.wrapped_networks import save_networks

# the share of the full consistency weight, at a progress from 0 to 1; the
# sigmoid is that of Laine & Aila, Temporal Ensembling, 2017
RAMPS = {
    'constant': lambda progress: 1.,
    'linear': lambda progress: progress,
    'sigmoid': lambda progress: math.exp(-5 * (1 - progress)**2),
}
ON_COLLAPSE = ('warn', 'stop')


@HOOKS.register_module()
class DualNetworkHook(Hook):
    """Looks after the networks of a :class:`PoseCons` or :class:`PoseDual`.

    It ramps the consistency weight, watches for the collapse, in which
    networks agree on predicting background, refuses to resume from other
    networks' checkpoints, and writes each network as a plain stock checkpoint
    at the end of the training: ``{name}.pth`` in the work directory, with its
    config ``network.py``, and ``networks.json``, which marks the best.

    Args:
        ramp (str): ``'constant'``, ``'linear'`` or ``'sigmoid'``. Defaults to
            ``'constant'``, as in the source.
        ramp_length (float): Over how many epochs (iterations where the
            training counts those) the weight grows from 0. Defaults to 0.
        collapse_ratio (float): A network has collapsed where joints of
            unlabelled images score below this share of what they score on
            labelled ones, on average. Defaults to 0.3. 0 turns the watch off.
        min_peak (float): Below this score of labelled joints, the network has
            not learnt enough to collapse. Defaults to 0.2.
        interval (int): Iterations between two looks, over which scores are
            averaged. Defaults to 100.
        on_collapse (str): ``'warn'``, or ``'stop'`` to end the training, where
            it counts epochs after the present one. Defaults to ``'warn'``.
        best (str, optional): Metric by which the best network is marked, under
            its plain name. Defaults to ``None``: the first of the evaluator's.
        rule (str): ``'greater'`` or ``'less'``: which value is better.
            Defaults to ``'greater'``.
    """

    # after the log is written, before checkpoints are
    priority = 'LOW'

    def __init__(self, ramp: str = 'constant', ramp_length: float = 0,
                 collapse_ratio: float = 0.3, min_peak: float = 0.2,
                 interval: int = 100, on_collapse: str = 'warn',
                 best: str | None = None, rule: str = 'greater'):
        if ramp not in RAMPS:
            raise ValueError(f'ramp must be one of {list(RAMPS)}, but it is '
                             f'{ramp!r}')
        if ramp != 'constant' and not ramp_length > 0:
            raise ValueError(f'ramp={ramp!r} needs a ramp_length above 0, but '
                             f'it is {ramp_length}')
        if not 0 <= collapse_ratio < 1:
            raise ValueError('collapse_ratio must lie in [0, 1), but it is '
                             f'{collapse_ratio}')
        if on_collapse not in ON_COLLAPSE:
            raise ValueError(f'on_collapse must be one of {ON_COLLAPSE}, but '
                             f'it is {on_collapse!r}')
        if rule not in ('greater', 'less'):
            raise ValueError("rule must be 'greater' or 'less', but it is "
                             f'{rule!r}')
        self.ramp = ramp
        self.ramp_length = ramp_length
        self.collapse_ratio = collapse_ratio
        self.min_peak = min_peak
        self.interval = interval
        self.on_collapse = on_collapse
        self.best = best
        self.rule = rule
        self.collapsed = set()

    def before_train(self, runner) -> None:
        """Check that model and data belong together.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            TypeError: If the model has no networks.
            ValueError: If sampler and loader have other batch sizes.
        """
        self.model = (runner.model.module if is_model_wrapper(runner.model)
                      else runner.model)
        if not hasattr(self.model, 'networks'):
            raise TypeError('DualNetworkHook is for PoseCons and PoseDual, '
                            f'but the model is a {type(self.model).__name__}')
        self.full_weight = self.model.consistency_weight
        loader = runner.train_dataloader
        mixed = getattr(loader.sampler, 'batch_size', loader.batch_size)
        if mixed != loader.batch_size:
            raise ValueError(
                'train_dataloader.batch_size is '
                f'{loader.batch_size}, but its sampler mixes batches of '
                f'{mixed}: set sampler.batch_size to the same number')

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Set the consistency weight.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict, optional): The batch.
        """
        if self.ramp == 'constant':
            return
        length = self.ramp_length
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            length *= len(runner.train_dataloader)
        progress = min(1., runner.iter / length)
        self.model.consistency_weight = (
            self.full_weight * RAMPS[self.ramp](progress))

    def after_train_iter(self, runner, batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Look for a collapse.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict, optional): The batch.
            outputs (dict, optional): What the step logged.
        """
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
        for name, (labeled, unlabeled) in zip(names, peaks.tolist(),
                                              strict=True):
            if (labeled < self.min_peak or
                    unlabeled >= self.collapse_ratio * labeled):
                self.collapsed.discard(name)
            elif name not in self.collapsed:
                self.collapsed.add(name)
                self._report_collapse(runner, name, labeled, unlabeled)

    def _report_collapse(self, runner, name: str, labeled: float,
                         unlabeled: float) -> None:
        stop = self.on_collapse == 'stop'
        runner.logger.warning(
            f'The network {name!r} collapses: it scores joints of labelled '
            f'images {labeled:.3f} on average, those of unlabelled ones only '
            f'{unlabeled:.3f}, and so teaches background. Make the hard views '
            'harder than the easy ones (more in hard_views, less in the '
            'pipeline of the unlabelled data), or lower consistency_weight, '
            'or ramp it.' +
            (' The training is stopped.' if stop else ''))
        if stop:
            runner.train_loop.stop_training = True

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to resume from a checkpoint of other networks.

        MMEngine would load what fits and leave the rest at random.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is going to be loaded.

        Raises:
            ValueError: If names or shapes of parameters differ.
        """
        if is_resuming(runner):
            check_same_model(
                runner, checkpoint, 'with the same `network` and teacher only')

    def after_train(self, runner) -> None:
        """Write each network as a stock checkpoint, and mark the best.

        Args:
            runner (Runner): The runner of the training process.
        """
        if not is_main_process():
            return
        folder = Path(runner.work_dir)
        names = [name for name in self.model.predictors if name != 'ensemble']
        save_networks(runner, names, folder, 'network.py')
        summary = dict(format=1, config='network.py', epoch=runner.epoch,
                       checkpoints={name: f'{name}.pth' for name in names},
                       **self._best(names, runner.message_hub))
        write_whole(folder / 'networks.json',
                    json.dumps(summary, indent=1) + '\n')
        best = summary.get('best')
        runner.logger.info(
            f'Networks written to {folder}: ' + ', '.join(
                f'{name}.pth' + (' (the best)' if name == best else '')
                for name in names))

    def _best(self, names: list[str], message_hub: MessageHub) -> dict:
        """The best network by the last validation, as far as there was one."""
        # a resumed training has them from its checkpoint
        validation = {key[len('val/'):]: value.current() for key, value in
                      message_hub.log_scalars.items()
                      if key.startswith('val/')}
        metric = self.best or next(
            (key.split('/', 1)[1] for key in validation
             if key.split('/')[0] in names), None)
        values = {name: float(validation[f'{name}/{metric}'])
                  for name in names if f'{name}/{metric}' in validation}
        if not values:
            return {}
        choose = max if self.rule == 'greater' else min
        return dict(best=choose(values, key=values.get), metric=metric,
                    values=values)
