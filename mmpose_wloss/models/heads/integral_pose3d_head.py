from collections.abc import Callable, Sequence
from functools import partial

import torch
from mmengine.dist import broadcast
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmpose.models.heads import HeatmapHead
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional

from ...codecs import IntegralPose3DLabel
from ...common import checks
from ...common.configs import is_of_class
from ...common.errors import UserError
from ..losses.loss_balancers.loss_balancer import eager_for_gradient_norms
from .center_of_mass import center_of_mass
from .soft_argmax import highest_bins, soft_argmax

TERMS = ('heatmap2d', 'heatmap3d', 'joint2d_from_volume', 'depth_from_volume',
         'joint2d_from_heatmap')
MODES = {'H1': TERMS[:2], 'I1': TERMS}


@MODELS.register_module()
class IntegralPose3DHead(HeatmapHead):
    r"""Heatmaps in 2D and 3D and their integrals, with balanced losses.

    Features → 2D heatmaps [B, K, H, W] and a volume [B, K, D, H, W] of each
    joint; a soft-argmax (:func:`soft_argmax`) of both gives joints. Five terms
    can be learned, each against its truth:

    ======================== ==============================================
    ``heatmap2d``            heatmaps, Gaussians of the codec
    ``heatmap3d``            volume, Gaussians of the codec
    ``joint2d_from_volume``  x, y of the volume's integral
    ``depth_from_volume``    z of the volume's integral
    ``joint2d_from_heatmap`` x, y of the heatmaps' integral
    ======================== ==============================================

    Joints outside the depth range, or without a depth, have no ``heatmap3d``
    and ``depth_from_volume``; joints with weight 0 have no term.

    A stock ``HeatmapHead``'s checkpoint loads as the part that makes 2D
    heatmaps. A checkpoint of another D is refused, unless a training starts
    from it and ``depth_growth`` says how its volume layer becomes the new one.

    Args:
        in_channels (int): Channels of the features.
        out_channels (int): Number of joints, K.
        mode (str): ``'H1'``: the two heatmap terms; ``'I1'``: all five;
            ``'manual'``: those that a :class:`ManualBalancer` has ratios for.
        terms (Sequence[str], optional): Those of the mode's terms that are
            learned; by default all.
        integral_unit (str): Unit in which the three integrals are compared.
            ``'bins'`` of the heatmaps, where the depth range counts as many
            bins as the heatmaps have columns, for every D; ``'normalized'``:
            sides of crop and depth range, from 0 to 1, as in the original
            code. With W columns, a squared error in bins is (W - 1)² times
            the normalized one.
        balancer (dict, optional): Config of a :class:`LossBalancer`; by
            default an :class:`AdaptiveBalancer`.
        stage2 (dict, optional): Config of a second stage, such as
            :class:`HourglassStage`: a module with ``out_channels`` that takes
            features and heatmaps. The volume then comes from its output.
        beta (float): What the volume is multiplied by before its softmax.
        beta2d (float, optional): For the heatmaps; by default ``beta``.
        threshold2d (float, optional): Takes for the heatmaps' integral their
            :func:`center_of_mass` above this threshold, as the original code
            above 0.003, in place of the softmax.
        heatmap2_init_std (float): The volume layer is drawn from N(0, this²).
        depth_growth (str, optional): ``'random'`` draws the volume layer anew,
            as the original code does; ``'interpolate'`` stretches it in depth.
        decoder (dict): Config of an :class:`IntegralPose3DLabel`.
        init_cfg (dict | list[dict], optional): For all but the volume layer.
        **kwargs: As for ``HeatmapHead``, of the 2D heatmaps.

    Raises:
        UserError: If mode, balancer and terms do not fit, or a checkpoint's
            volume layer.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 *args,
                 mode: str = 'I1',
                 terms: Sequence[str] | None = None,
                 integral_unit: str = 'bins',
                 balancer: dict | None = None,
                 stage2: dict | None = None,
                 beta: float = 30.,
                 beta2d: float | None = None,
                 threshold2d: float | None = None,
                 heatmap2_init_std: float = 0.01,
                 depth_growth: str | None = None,
                 decoder: dict | None = None,
                 init_cfg: dict | list | None = None,
                 **kwargs) -> None:
        if threshold2d is not None:
            checks.within(0, 1, threshold2d=threshold2d)
            if beta2d is not None:
                raise UserError(
                    f'threshold2d={threshold2d} takes the place of the softmax '
                    f'that beta2d={beta2d} is for: remove one of them')
        beta2d = beta if beta2d is None else beta2d
        checks.one_of((*MODES, 'manual'), mode=mode)
        checks.one_of(('bins', 'normalized'), integral_unit=integral_unit)
        checks.one_of((None, 'random', 'interpolate'),
                      depth_growth=depth_growth)
        checks.positive(beta=beta, beta2d=beta2d,
                        heatmap2_init_std=heatmap2_init_std)
        if 'loss' in kwargs:
            raise UserError('the balancer takes the place of a loss: remove '
                            'loss, or replace a stock head with _delete_=True')
        init_cfg = init_cfg or self.default_init_cfg
        if not isinstance(init_cfg, (list, tuple)):
            init_cfg = [init_cfg]
        super().__init__(
            in_channels, out_channels, *args, decoder=decoder,
            init_cfg=[*init_cfg, dict(
                type='Normal', std=heatmap2_init_std,
                override=dict(name='volume_layer'))], **kwargs)
        if not isinstance(self.decoder, IntegralPose3DLabel):
            raise UserError('decoder must be an IntegralPose3DLabel, but it '
                            f'is {decoder}')
        del self.loss_module  # the terms are the balancer's
        self.stage2 = MODELS.build(stage2) if stage2 else None
        self.volume_layer = nn.Conv2d(
            self.stage2.out_channels if stage2 else
            self.final_layer.in_channels,
            out_channels * self.decoder.depth_size, 1)
        width, height, depth = (
            side - 1. for side in self.decoder.heatmap_size)
        self.register_buffer('bins', torch.tensor([width, height, depth]),
                             persistent=False)
        # depth is learned as if it had as many bins as there are columns
        self.register_buffer(
            'unit', torch.tensor([width, height, width]
                                 if integral_unit == 'bins' else [1., 1., 1.]),
            persistent=False)
        self.beta = beta
        self.beta2d = beta2d
        self.threshold2d = threshold2d
        self.heatmap2_init_std = heatmap2_init_std
        self.depth_growth = depth_growth
        self.terms = MODES.get(mode)
        if mode == 'manual':
            ratios = (balancer or {}).get('ratios')
            if not ratios or not is_of_class(balancer, 'ManualBalancer'):
                raise UserError("mode='manual' needs a ManualBalancer with "
                                f'ratios, but balancer is {balancer}')
            self.terms = tuple(name for name in TERMS if name in ratios)
        if terms is not None:
            if isinstance(terms, str) or not terms:
                raise UserError(f'terms must be a list of names, but it is {terms!r}')
            checks.one_of(self.terms, **{
                f'terms[{index}]': name for index, name in enumerate(terms)})
            self.terms = tuple(name for name in self.terms if name in terms)
        self.balancer = MODELS.build(
            balancer or dict(type='AdaptiveBalancer'),
            default_args=dict(terms=self.terms))
        self._register_load_state_dict_pre_hook(self._fit_volume_layer)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Heatmaps [B, K, H, W] and volume [B, K, D, H, W] of the last feats."""
        return self._outputs(self.conv_layers(self.deconv_layers(feats[-1])))

    def _outputs(self, features: Tensor) -> tuple[Tensor, Tensor]:
        heatmaps = self.final_layer(features)
        if self.stage2 is not None:
            features = self.stage2(features, heatmaps)
        volume = self.volume_layer(features)
        return heatmaps, volume.unflatten(1, (self.out_channels, -1))

    @eager_for_gradient_norms
    def loss(self,
             feats: Sequence[Tensor],
             batch_data_samples: list,
             train_cfg: dict | None = None) -> dict:
        """Calculate the balanced losses.

        Args:
            feats (Sequence[Tensor]): Feature maps, of which the last counts.
            batch_data_samples (list[PoseDataSample]): With labels of the codec.
            train_cfg (dict, optional): ``compute_acc=False``: no accuracy.

        Returns:
            dict: The balancer's losses, weights and unbalanced losses by
            term; ``joints_outside_depth_range``, their number; and of the
            volume's integral ``acc_pose``, the part of visible joints less
            than 0.05 of the heatmap's sides off, and ``depth_error`` in mm.
        """
        features = self.conv_layers(self.deconv_layers(feats[-1]))
        heatmaps, volume = self._outputs(features)
        labels, weights = (
            torch.cat([sample.gt_instance_labels[key]
                       for sample in batch_data_samples])
            for key in ('keypoint_labels', 'keypoint_weights'))
        size = (*volume.shape[:1:-1], )
        if size != self.decoder.heatmap_size:
            raise UserError(
                f'the network makes volumes of {size}, but heatmap_size of the '
                f'codec is {self.decoder.heatmap_size}')
        within = self.decoder.within_depth_range(labels)
        weights_3d = weights * within
        measured = (train_cfg or {}).get('compute_acc', True)
        if measured or {*self.terms} & {'joint2d_from_volume',
                                        'depth_from_volume'}:
            joints = soft_argmax(volume, self.beta)
            places = joints * (self.unit / self.bins)
        truth, planar = labels * self.unit, (self.unit / self.bins)[:2]
        # only those that are balanced are made
        terms = {
            'heatmap2d': lambda: (
                heatmaps, self.decoder.heatmaps(labels), weights),
            'heatmap3d': lambda: (
                volume, self.decoder.volumes(labels), weights_3d),
            'joint2d_from_volume': lambda: (
                places[..., :2], truth[..., :2], weights),
            'depth_from_volume': lambda: (
                places[..., 2], truth[..., 2], weights_3d),
            'joint2d_from_heatmap': lambda: (
                self._integral2d(heatmaps) * planar, truth[..., :2], weights)}
        losses = self.balancer({name: terms[name]() for name in self.terms},
                               shared=features)
        with torch.no_grad():
            outside = ~within & labels[..., 2].isfinite() & (weights > 0)
            losses['joints_outside_depth_range'] = outside.sum().float()
            if measured:
                error = joints / self.bins - labels
                visible = weights > 0
                deep = visible & within
                close = error[..., :2].norm(dim=-1) < 0.05
                nearest, farthest = self.decoder.depth_range
                depth_error = error[..., 2].abs() * (farthest - nearest)
                # nothing here waits for a device
                losses.update(
                    acc_pose=((close & visible).sum() /
                              visible.sum().clamp(min=1)),
                    depth_error=(depth_error.masked_fill(~deep, 0).sum() /
                                 deep.sum().clamp(min=1)))
        return losses

    def predict(self,
                feats: Sequence,
                batch_data_samples: list,
                test_cfg: dict | None = None) -> list | tuple[list, list]:
        """Predict joints and their depths.

        Args:
            feats (Sequence): Feature maps, with ``flip_test`` also those of
                the flipped images.
            batch_data_samples (list[PoseDataSample]): The samples.
            test_cfg (dict, optional): ``flip_test`` averages joints of both;
                ``output_heatmaps`` gives the 2D heatmaps too; ``argmax``
                takes the highest bin of a volume in place of its integral.

        Returns:
            list[InstanceData] | tuple: ``keypoints`` [1, K, 3], pixels of the
            input and depths relative to the root in mm, and
            ``keypoint_scores`` [1, K], the maxima of the 2D heatmaps within 0
            and 1; perhaps ``PixelData`` with ``heatmaps`` [K, H, W].
        """
        test_cfg = test_cfg or {}
        flip_test = test_cfg.get('flip_test', False)
        places = highest_bins if test_cfg.get('argmax', False) else partial(
            soft_argmax, beta=self.beta)
        heatmaps, joints = self._joints(feats[0] if flip_test else feats, places)
        if flip_test:
            flipped_heatmaps, flipped = self._joints(feats[1], places)
            indices = batch_data_samples[0].metainfo['flip_indices']
            flipped = flipped[:, indices]
            flipped[..., 0] = self.decoder.heatmap_size[0] - 1 - flipped[..., 0]
            joints = (joints + flipped) / 2
            heatmaps = (heatmaps + flip_heatmaps(
                flipped_heatmaps, flip_indices=indices)) / 2
        scores = heatmaps.flatten(2).amax(-1).clamp(0, 1)
        predictions = self.decode((joints, scores))
        if test_cfg.get('output_heatmaps', False):
            return predictions, [PixelData(heatmaps=each)
                                 for each in heatmaps.detach()]
        return predictions

    def _joints(self, feats: Sequence[Tensor],
                places: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        heatmaps, volume = self.forward(feats)
        return heatmaps.float(), places(volume)

    def _integral2d(self, heatmaps: Tensor) -> Tensor:
        if self.threshold2d is None:
            return soft_argmax(heatmaps, self.beta2d)
        return center_of_mass(heatmaps, self.threshold2d)

    def _fit_volume_layer(self, state_dict: dict, prefix: str, *_) -> None:
        """Let a training start from a checkpoint of another D, or refuse it."""
        key = f'{prefix}volume_layer.'
        old, layer = state_dict.get(f'{key}weight'), self.volume_layer
        if old is None or old.shape == layer.weight.shape:
            return
        before, rest = divmod(old.shape[0], self.out_channels)
        if rest or old.shape[1:] != layer.weight.shape[1:]:
            raise UserError(
                f'the volume layer of the checkpoint is {tuple(old.shape)}, '
                f'that of the model {tuple(layer.weight.shape)}')
        now, random = self.decoder.depth_size, self.depth_growth == 'random'
        # weights are initialized before a training loads a checkpoint
        if self.depth_growth is None or not self.is_init:
            raise UserError(
                f'the checkpoint has d2 = {before} bins of depth, the model '
                f'{now}. Set heatmap_size and depth_range of the codec to its '
                'own; a training can start from it with depth_growth, but without '
                'an EMAHook, which copies the model before its weights are set')
        for name, parameter in layer.named_parameters():
            old = state_dict[key + name]
            if not random:
                new = functional.interpolate(
                    old.reshape(self.out_channels, before, -1).mT, size=now,
                    mode='linear', align_corners=True).mT.reshape(
                        parameter.shape)
            else:
                new = torch.zeros_like(parameter)
                if name == 'weight':
                    new.normal_(std=self.heatmap2_init_std)
                # DDP makes processes equal before a checkpoint loads
                broadcast(new)
            state_dict[key + name] = new
        how = (f'drawn from N(0, {self.heatmap2_init_std}²)' if random else
               f'interpolated from d2 = {before}')
        print_log(
            f'depth_growth: the volume layer of d2 = {now} was {how}; all '
            'other weights are taken from the checkpoint as they are',
            'current')
