"""Losses for heatmaps whose few joint pixels drown in background.

Each is a pure function and a thin module that stands where MMPose's
``KeypointMSELoss`` stands. All are a mean squared error with a weight for
every pixel; they differ in where that weight comes from:

=================================  ==========================================
loss                               weight of a pixel with target y, output p
=================================  ==========================================
``KeypointMSELoss`` (stock)        :math:`1`
:class:`FocusMSELoss`              :math:`(y + \\delta)^\\gamma`
:class:`HeatmapWeightingMSELoss`   :math:`F(y) + 1`
:class:`WeightAdaptiveMSELoss`     :math:`y^\\gamma |1-p| + (1-y^\\gamma) |p|`
=================================  ==========================================
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from mmpose.models.losses import KeypointMSELoss
from mmpose.registry import MODELS
from torch import Tensor

from ...common import checks
from ...common.errors import UserError
from ...compat.compilation import is_compiling

# how far a target may lie outside [0, 1] and still count as rounding: two
# units in the last place of bfloat16 at 1
ROUNDING = 2**-7
# how far MegviiHeatmap, whose blur mirrors at the border, exceeds its peak
OVERSHOOT = 0.5


def focus_mse_loss(output: Tensor,
                   target: Tensor,
                   mask: Tensor | None = None,
                   gamma: float = 1.,
                   delta: float = 1.,
                   normalize: bool = False,
                   heatmap_max: float = 1.,
                   check_values: bool = True) -> Tensor:
    r"""Focus (focal) mean squared error between heatmaps.

    .. math::
        L = \frac{1}{N} \sum_i m_i \, (y_i + \delta)^\gamma \, (p_i - y_i)^2

    over all N pixels, with output p, target y (relative to ``heatmap_max``
    within the bracket) and mask m. Equation 5 of Xu & Feng, "Human pose
    estimation based on focus mean squared error", without its factor 1/2, so
    that :math:`\gamma = 0` is the stock loss.

    Args:
        output (Tensor): Predicted heatmaps in shape [B, K, H, W].
        target (Tensor): Target heatmaps in shape [B, K, H, W], in [0,
            ``heatmap_max``]. The weight has no gradient for it.
        mask (Tensor, optional): Non-negative weights that broadcast to
            [B, K, H, W]. ``None``: all 1.
        gamma (float): Exponent, at least 0, which is plain MSE.
        delta (float): Offset, at least 0: the background weighs
            :math:`\delta^\gamma`.
        normalize (bool): Divide by the mean weight of the unmasked pixels, so
            that the loss keeps the scale of plain MSE. Adam does not see it.
        heatmap_max (float): Peak value of the codec's heatmaps: 1 for
            MSRAHeatmap and UDPHeatmap, 255 for MegviiHeatmap.
        check_values (bool): Check the target's range: waits for the device.

    Returns:
        Tensor: The loss, a scalar of at least float32; 0 where the mask is 0.

    Raises:
        ValueError: If an argument is out of its range or shapes differ.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[[0., 1.]]]])
        >>> output = torch.tensor([[[[.5, .5]]]])
        >>> focus_mse_loss(output, target, gamma=2., delta=1.)
        tensor(0.6250)
        >>> focus_mse_loss(output, target, gamma=0.)
        tensor(0.2500)
    """
    checks.non_negative(gamma=gamma, delta=delta)
    return _weighted_mse(
        output, target, mask, heatmap_max, check_values,
        None if gamma == 0 else lambda p, y: (y + delta)**gamma, normalize)


def weight_adaptive_mse_loss(output: Tensor,
                             target: Tensor,
                             mask: Tensor | None = None,
                             gamma: float = 0.01,
                             heatmap_max: float = 1.,
                             check_values: bool = True) -> Tensor:
    r"""Weight-adaptive heatmap regression loss (WAHR).

    .. math::
        L = \frac{1}{N} \sum_i m_i \left(y_i^\gamma |1 - p_i|
        + (1 - y_i^\gamma) |p_i|\right) (p_i - y_i)^2

    over all N pixels, so that easy ones fade. Equations 9 and 10 of Luo et al.,
    `Rethinking the Heatmap Regression for Bottom-up Human Pose Estimation
    <https://arxiv.org/abs/2012.15175>`_. As in the authors' code, the gradient
    goes through the weight too.

    Args:
        output, target, mask, heatmap_max, check_values: As for
            :func:`focus_mse_loss`.
        gamma (float): Exponent above 0 that softens the border between joint
            and background; 0.01 is the authors' value.

    Returns:
        Tensor: The loss, a scalar of at least float32.

    Raises:
        ValueError: If an argument is out of its range or shapes differ.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[[0., 1.]]]])
        >>> output = torch.tensor([[[[.5, .25]]]])
        >>> weight_adaptive_mse_loss(output, target)
        tensor(0.2734)
    """
    checks.positive(gamma=gamma)
    return _weighted_mse(
        output, target, mask, heatmap_max, check_values,
        lambda p, y: torch.lerp(p.abs(), (1 - p).abs(), y**gamma))


# F in the weight F(y) + 1
HEATMAP_WEIGHTING_FUNCTIONS = {
    'linear': lambda y: y,
    'power': torch.square,
    'exponential': torch.exp,
}


def heatmap_weighting_mse_loss(output: Tensor,
                               target: Tensor,
                               mask: Tensor | None = None,
                               function: str = 'linear',
                               heatmap_max: float = 1.,
                               check_values: bool = True) -> Tensor:
    r"""Heatmap weighting loss.

    .. math::
        L = \frac{1}{N} \sum_i m_i \, (F(y_i) + 1) \, (p_i - y_i)^2

    over all N pixels, with :math:`F(y) = y` (``'linear'``), :math:`y^2`
    (``'power'``) or :math:`e^y` (``'exponential'``). Li & Xiang,
    `Lightweight Human Pose Estimation Using Loss Weighted by Target Heatmap
    <https://arxiv.org/abs/2205.10611>`_.

    Args:
        output, target, mask, heatmap_max, check_values: As for
            :func:`focus_mse_loss`.
        function (str): ``'linear'`` or ``'power'``, a weight from 1 at the
            background to 2 at a joint's center, or ``'exponential'``, from 2
            to 3.7.

    Returns:
        Tensor: The loss, a scalar of at least float32.

    Raises:
        ValueError: If an argument is out of its range or shapes differ.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[[0., 1.]]]])
        >>> output = torch.tensor([[[[.5, .5]]]])
        >>> heatmap_weighting_mse_loss(output, target)
        tensor(0.3750)
    """
    checks.one_of(HEATMAP_WEIGHTING_FUNCTIONS, function=function)
    return _weighted_mse(
        output, target, mask, heatmap_max, check_values,
        lambda p, y: HEATMAP_WEIGHTING_FUNCTIONS[function](y) + 1)


def _weighted_mse(output: Tensor, target: Tensor, mask: Tensor | None,
                  heatmap_max: float, check_values: bool,
                  weight_of: Callable[[Tensor, Tensor], Tensor] | None,
                  normalize: bool = False) -> Tensor:
    """MSE with a weight of each pixel, made of output and target in [0, 1]."""
    checks.positive(heatmap_max=heatmap_max)
    checks.same_shape(output=output, target=target)
    # the square of a half precision difference underflows
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    target = target.to(output.dtype)
    if check_values and target.numel():
        low, high = (value.item() / heatmap_max for value in target.aminmax())
        above = ROUNDING if heatmap_max == 1 else OVERSHOOT
        # written so that NaN, of which every comparison is false, fails it too
        if not (low >= -ROUNDING and high <= 1 + above):
            raise UserError(
                f'target heatmaps must lie in [0, {heatmap_max:g}], but their '
                f'values run from {low * heatmap_max:g} to '
                f'{high * heatmap_max:g}. Set heatmap_max to the peak value of '
                "your codec's heatmaps (1 for MSRAHeatmap and UDPHeatmap, 255 "
                'for MegviiHeatmap)')
    if weight_of is None and mask is None:
        return F.mse_loss(output, target)
    error = F.mse_loss(output, target, reduction='none')
    if weight_of is None:
        return (error * mask).mean()

    pixels = output, target.detach().clamp(min=0)
    if heatmap_max != 1:
        pixels = (each / heatmap_max for each in pixels)
    weight = weight_of(*pixels)
    if mask is not None:
        weight = weight * mask
    loss = (error * weight).mean()
    if normalize:
        unmasked = 1 if mask is None else mask.to(weight.dtype).mean()
        # a batch without a visible joint has loss 0, not 0 / 0
        loss = loss * (unmasked / weight.mean().clamp(
            min=torch.finfo(weight.dtype).tiny))
    return loss


class _HeatmapLoss(KeypointMSELoss):
    """The stock call and its mask around one of the functions above.

    Values are checked at every call on the CPU; on an accelerator, where
    reading a value stalls its queue, at the first call; compiled, never.
    """

    def __init__(self, loss_function: partial, **kwargs):
        super().__init__(**kwargs)
        self.loss_function = loss_function
        self._values_checked = False
        # parameters out of their range are an error here already
        loss_function(torch.zeros(0), torch.zeros(0))

    @property
    def target_range(self) -> tuple[float, float]:
        """The lowest and the highest value that a target may have."""
        return 0., float(self.loss_function.keywords['heatmap_max'])

    def extra_repr(self) -> str:
        """The parameters, for ``print(model)``."""
        return ', '.join(f'{name}={value!r}' for name, value in
                         self.loss_function.keywords.items())

    def forward(self,
                output: Tensor,
                target: Tensor,
                target_weights: Tensor | None = None,
                mask: Tensor | None = None) -> Tensor:
        """Forward function of loss, as of ``KeypointMSELoss``.

        Args:
            output, target (Tensor): Heatmaps in shape [B, K, H, W].
            target_weights (Tensor, optional): Non-negative, in shape [B, K] or
                [B, K, H, W], used wherever they are given.
            mask (Tensor, optional): Of valid pixels, in shape [B, K or 1, H, W].

        Raises:
            ValueError: If shapes of output and target differ or the target
                lies outside [0, ``heatmap_max``].
            AssertionError: If the shapes of target and weights differ.
        """
        check_values = not is_compiling() and (
            target.device.type == 'cpu' or not self._values_checked)
        if check_values:
            self._values_checked = True
        mask = self._get_mask(target, target_weights, mask)
        return self.loss_weight * self.loss_function(
            output, target, mask, check_values=check_values)


@MODELS.register_module()
class FocusMSELoss(_HeatmapLoss):
    """Focus (focal) MSE loss for heatmaps.

    Args:
        gamma, delta, normalize, heatmap_max: As for :func:`focus_mse_loss`;
            with ``gamma=0`` it is ``KeypointMSELoss`` bit for bit.
        kwargs: ``use_target_weight``, ``skip_empty_channel`` and
            ``loss_weight`` as for ``KeypointMSELoss``.
    """

    def __init__(self,
                 gamma: float = 1.,
                 delta: float = 1.,
                 normalize: bool = False,
                 heatmap_max: float = 1.,
                 **kwargs):
        super().__init__(
            partial(focus_mse_loss, gamma=gamma, delta=delta,
                    normalize=normalize, heatmap_max=heatmap_max), **kwargs)


@MODELS.register_module()
class WeightAdaptiveMSELoss(_HeatmapLoss):
    """Weight-adaptive heatmap regression loss (WAHR).

    Args:
        gamma, heatmap_max: As for :func:`weight_adaptive_mse_loss`.
        kwargs: As for ``KeypointMSELoss``.
    """

    def __init__(self, gamma: float = 0.01, heatmap_max: float = 1., **kwargs):
        super().__init__(
            partial(weight_adaptive_mse_loss, gamma=gamma,
                    heatmap_max=heatmap_max), **kwargs)


@MODELS.register_module()
class HeatmapWeightingMSELoss(_HeatmapLoss):
    """Heatmap weighting loss.

    Args:
        function, heatmap_max: As for :func:`heatmap_weighting_mse_loss`.
        kwargs: As for ``KeypointMSELoss``.
    """

    def __init__(self, function: str = 'linear', heatmap_max: float = 1.,
                 **kwargs):
        super().__init__(
            partial(heatmap_weighting_mse_loss, function=function,
                    heatmap_max=heatmap_max), **kwargs)
