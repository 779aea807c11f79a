from collections.abc import Iterator

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import HOOKS

from ...codecs import HourglassHeatmap
from ...common.checks import positive, within
from ...common.errors import UserError
from ...datasets.wrapped_datasets import walk_datasets


def encoders_of(dataset) -> Iterator[BaseKeypointCodec]:
    """The codecs that encode targets in the pipelines of a data set.

    Args:
        dataset (Dataset): A data set, or a wrapper of some.
    """
    for each in walk_datasets(dataset):
        pipeline = getattr(each, 'pipeline', None)
        for transform in getattr(pipeline, 'transforms', ()):
            encoder = getattr(transform, 'encoder', None)
            encoder = getattr(encoder, 'codecs', encoder)  # of DeviceTargets
            if encoder is not None:
                yield from encoder if isinstance(encoder, list) else [encoder]


@HOOKS.register_module()
class SigmaDecayHook(Hook):
    r"""Draws heatmaps that are narrower in every epoch.

    In epoch e, from 0, the codec's :math:`\sigma` is :math:`\sigma_0 d^{\,e + 1}`, as
    in the code of fast pose distillation, where it is multiplied before the first
    epoch, too. A resumed training goes on with that of its epoch. It is logged as
    ``sigma``.

    The codecs are :class:`HourglassHeatmap`. Their sigma lies in memory that the
    data loader's workers share, persistent ones too.

    Args:
        decay (float): d, above 0 and at most 1.
    """

    def __init__(self, decay: float) -> None:
        positive(decay=decay)
        within(0, 1, decay=decay)
        self.decay = decay
        self.first: list[tuple[HourglassHeatmap, float]] = []

    def before_train(self, runner) -> None:
        """Let the workers, which are not yet begun, share each codec's sigma.

        Raises:
            UserError: If the training counts no epochs, has other codecs or none, or
                switches its pipeline.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise UserError('SigmaDecayHook counts epochs, but train_cfg has '
                            f'{type(runner.train_loop).__name__}: set by_epoch=True')
        for hook in runner.hooks:
            if getattr(hook, 'switch_pipeline', None) is not None:
                raise UserError(f'{type(hook).__name__} switches to a pipeline of '
                                'which SigmaDecayHook knows nothing. Remove one')
        codecs = list(encoders_of(runner.train_dataloader.dataset))
        others = {type(codec).__name__ for codec in codecs
                  if not isinstance(codec, HourglassHeatmap)}
        if others or not codecs:
            raise UserError(
                'SigmaDecayHook is for HourglassHeatmap, but the pipelines of '
                f'train_dataloader have {", ".join(others) or "no codec"}')
        self.first = [(codec, float(codec.sigma)) for codec in codecs]
        for codec, sigma in self.first:
            codec.sigma = torch.tensor(sigma, dtype=torch.float64).share_memory_()

    def before_train_epoch(self, runner) -> None:
        """Set the sigma of an epoch."""
        for codec, first in self.first:
            codec.sigma.fill_(first * self.decay**(runner.epoch + 1))
            runner.message_hub.update_scalar('train/sigma', float(codec.sigma))

    def after_train(self, runner) -> None:
        """Leave the codecs as they were."""
        for codec, first in self.first:
            codec.sigma = first
