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
from torch.autograd.function import once_differentiable

from ...compat.compilation import is_compiling

# how far a target may lie outside [0, 1] and still count as rounding: two
# units in the last place of bfloat16 at 1
ROUNDING = 2**-7
# how far MegviiHeatmap, whose blur mirrors at the border, exceeds its peak
OVERSHOOT = 0.5


def _at_least_float32(heatmaps: Tensor) -> Tensor:
    half = heatmaps.dtype in (torch.float16, torch.bfloat16)
    return heatmaps.float() if half else heatmaps


def _check_heatmaps(output: Tensor,
                    target: Tensor,
                    heatmap_max: float = 1.,
                    check_values: bool = True) -> None:
    """Raise a ``ValueError`` for heatmaps that no loss here can take."""
    if output.shape != target.shape:
        raise ValueError(
            'output and target must have the same shape, but the output is '
            f'{tuple(output.shape)} and the target {tuple(target.shape)}')
    if not check_values or target.numel() == 0:
        return
    low, high = (value.item() / heatmap_max
                 for value in _at_least_float32(target).aminmax())
    above = ROUNDING if heatmap_max == 1 else OVERSHOOT
    # written so that NaN, of which every comparison is false, fails it too
    if not (low >= -ROUNDING and high <= 1 + above):
        raise ValueError(
            f'target heatmaps must lie in [0, {heatmap_max:g}], but their '
            f'values run from {low * heatmap_max:g} to '
            f'{high * heatmap_max:g}. Set heatmap_max to the peak value of '
            "your codec's heatmaps (1 for MSRAHeatmap and UDPHeatmap, 255 "
            'for MegviiHeatmap)')


def _relative_target(target: Tensor, heatmap_max: float) -> Tensor:
    """Target in units of its peak, at least float32, without gradient."""
    # a new tensor, which the callers change in place
    target = _at_least_float32(target.detach()).clamp(min=0)
    return target if heatmap_max == 1 else target.div_(heatmap_max)


def _squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Element-wise squared error in at least float32."""
    output = _at_least_float32(output)
    return F.mse_loss(output, target.to(output.dtype), reduction='none')


def _weighted_mean(error: Tensor, weight: Tensor,
                   mask: Tensor | None) -> Tensor:
    if mask is not None:
        weight.mul_(mask)
    # the backward of neither the error nor this product needs the error
    # itself: writing into it saves a heatmap-sized allocation
    return error.mul_(weight.to(error.dtype)).mean()


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
        target (Tensor): Target heatmaps in shape [B, K, H, W], with values
            in [0, ``heatmap_max``]. It takes part in the gradient through
            the difference, not through the weight.
        mask (Tensor, optional): Non-negative weights that broadcast to
            [B, K, H, W]. Defaults to ``None``: all 1.
        gamma (float): Exponent, at least 0. The larger it is, the more a
            joint's centre outweighs the background. 0 is plain MSE.
        delta (float): Offset, at least 0, above 0 where ``gamma`` is
            fractional. It keeps the background's weight at
            :math:`\delta^\gamma` above zero.
        normalize (bool): Divide by the mean weight of the unmasked pixels,
            so that the loss keeps the scale of plain MSE. Defaults to
            ``False``, the equation as published.
        heatmap_max (float): Peak value of the target heatmaps.
        check_values (bool): Check that the target lies in [0,
            ``heatmap_max``], which waits for the device. Defaults to
            ``True``.

    Returns:
        Tensor: The loss, a scalar, in the output's type but at least float32.
        0 with a gradient of 0 where the mask is 0 everywhere.

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
    _check_focus_arguments(gamma, delta, heatmap_max)
    _check_heatmaps(output, target, heatmap_max, check_values)
    if gamma == 0:
        output, target = _at_least_float32(output), _at_least_float32(target)
        if mask is None:
            return F.mse_loss(output, target)
        return (F.mse_loss(output, target, reduction='none') * mask).mean()

    weight = _relative_target(target, heatmap_max).add_(delta).pow_(gamma)
    if not normalize:
        return _weighted_mean(_squared_error(output, target), weight, mask)

    if mask is not None:
        weight.mul_(mask)
        unmasked = mask.to(weight.dtype).mean()
    else:
        unmasked = weight.new_ones(())
    # a batch without a visible joint has loss 0, not 0 / 0
    scale = unmasked / weight.mean().clamp(min=torch.finfo(weight.dtype).tiny)
    return _weighted_mean(_squared_error(output, target), weight, None) * scale


def _check_focus_arguments(gamma: float, delta: float,
                           heatmap_max: float) -> None:
    if not gamma >= 0:
        raise ValueError(f'gamma must be at least 0, but it is {gamma}: a '
                         'negative exponent weights the background up')
    if not delta >= 0:
        raise ValueError(f'delta must be at least 0, but it is {delta}: '
                         'target + delta is the base of a power')
    if delta == 0 and gamma != int(gamma):
        raise ValueError(
            'delta must be above 0 where gamma is fractional, but delta is '
            f'{delta} and gamma {gamma}: the power has no derivative at 0')
    _check_heatmap_max(heatmap_max)


def _check_heatmap_max(heatmap_max: float) -> None:
    if not heatmap_max > 0:
        raise ValueError(f'heatmap_max must be above 0, but it is '
                         f'{heatmap_max}')


class _WeightAdaptiveMSE(torch.autograd.Function):
    """Value and gradient of the weight-adaptive loss in one sweep.

    Its weight depends on the output, so autograd would keep a dozen tensors
    of the heatmaps' size for the way back; this keeps one, and writes into
    what it has made wherever it can, ``power`` included.
    """

    @staticmethod
    def forward(ctx, output: Tensor, target: Tensor, power: Tensor,
                mask: Tensor | None, heatmap_max: float) -> Tensor:
        error = output - target
        if heatmap_max != 1:
            output = output / heatmap_max
        # with s = power: w'(p) = (1 - s) sign(p) + s sign(p - 1)
        #                 w(p) = w'(p) p - s sign(p - 1)
        beyond = (output - 1).sign_()
        slope = output.sign().lerp_(beyond, power)
        beyond.mul_(power)
        weight = torch.mul(slope, output, out=power).sub_(beyond)
        masked_error = error if mask is None else torch.mul(
            error, mask, out=beyond)
        # d/dp [w(p) e^2] = (w'(p) e + 2 w(p)) e
        gradient = slope.mul_(error)
        if heatmap_max != 1:
            gradient.div_(heatmap_max)
        gradient.add_(weight, alpha=2).mul_(masked_error)
        weighted_error = weight.mul_(masked_error)
        target_gradient = None
        if ctx.needs_input_grad[1]:
            target_gradient = weighted_error * -2
        ctx.save_for_backward(gradient, target_gradient)
        return weighted_error.mul_(error).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        gradient, target_gradient = ctx.saved_tensors
        grad = grad / gradient.numel()
        if target_gradient is not None:
            target_gradient = target_gradient * grad
        return gradient * grad, target_gradient, None, None, None


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

    over all N pixels: a pixel weighs by how far it is from the end of [0, 1]
    that it belongs to, so that easy ones fade. Equation 9 and 10 of Luo et
    al., `Rethinking the Heatmap Regression for Bottom-up Human Pose
    Estimation <https://arxiv.org/abs/2012.15175>`_. As in the authors' code,
    the gradient goes through the weight too.

    Args:
        output (Tensor): Predicted heatmaps in shape [B, K, H, W].
        target (Tensor): Target heatmaps in shape [B, K, H, W], with values
            in [0, ``heatmap_max``].
        mask (Tensor, optional): Non-negative weights that broadcast to
            [B, K, H, W]. Defaults to ``None``: all 1.
        gamma (float): Exponent above 0 that softens the border between joint
            and background. Defaults to 0.01, the authors' value.
        heatmap_max (float): Peak value of the target heatmaps.
        check_values (bool): Check that the target lies in [0,
            ``heatmap_max``], which waits for the device. Defaults to
            ``True``.

    Returns:
        Tensor: The loss, a scalar of at least float32. It can be
        differentiated once, not twice.

    Raises:
        ValueError: If an argument is out of its range or shapes differ.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[[0., 1.]]]])
        >>> output = torch.tensor([[[[.5, .25]]]])
        >>> weight_adaptive_mse_loss(output, target)
        tensor(0.2734)
    """
    _check_weight_adaptive_arguments(gamma, heatmap_max)
    _check_heatmaps(output, target, heatmap_max, check_values)
    output = _at_least_float32(output)
    power = _relative_target(target, heatmap_max).pow_(gamma)
    return _WeightAdaptiveMSE.apply(output, target.to(output.dtype),
                                    power.to(output.dtype), mask, heatmap_max)


def _check_weight_adaptive_arguments(gamma: float, heatmap_max: float) -> None:
    if not gamma > 0:
        raise ValueError(f'gamma must be above 0, but it is {gamma}: at 0 '
                         'every pixel counts as a joint')
    _check_heatmap_max(heatmap_max)


# F in the weight F(y) + 1
HEATMAP_WEIGHTING_FUNCTIONS = {
    'linear': lambda target: target,
    'power': torch.Tensor.square_,
    'exponential': torch.Tensor.exp_,
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
        output (Tensor): Predicted heatmaps in shape [B, K, H, W].
        target (Tensor): Target heatmaps in shape [B, K, H, W], with values
            in [0, ``heatmap_max``]. It takes part in the gradient through
            the difference, not through the weight.
        mask (Tensor, optional): Non-negative weights that broadcast to
            [B, K, H, W]. Defaults to ``None``: all 1.
        function (str): ``'linear'``, ``'power'`` or ``'exponential'``. The
            weight runs from 1 at the background to 2 at a joint's centre
            with the first two, from 2 to 3.7 with the last.
        heatmap_max (float): Peak value of the target heatmaps.
        check_values (bool): Check that the target lies in [0,
            ``heatmap_max``], which waits for the device. Defaults to
            ``True``.

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
    _check_heatmap_weighting_arguments(function, heatmap_max)
    _check_heatmaps(output, target, heatmap_max, check_values)
    weight = _relative_target(target, heatmap_max)
    weight = HEATMAP_WEIGHTING_FUNCTIONS[function](weight).add_(1)
    return _weighted_mean(_squared_error(output, target), weight, mask)


def _check_heatmap_weighting_arguments(function: str,
                                       heatmap_max: float) -> None:
    if function not in HEATMAP_WEIGHTING_FUNCTIONS:
        raise ValueError(
            f'function must be one of {list(HEATMAP_WEIGHTING_FUNCTIONS)}, '
            f'but it is {function!r}')
    _check_heatmap_max(heatmap_max)


class _HeatmapLoss(KeypointMSELoss):
    """What the losses of this file share: the stock call and its mask.

    Shapes are checked at every call. Values are checked at every call on the
    CPU; on an accelerator, where reading a value stalls its queue, at the
    first call only; in a compiled graph, which reading a value breaks, never.

    Args:
        loss_function (Callable): The pure function with its parameters set.
        use_target_weight, skip_empty_channel, loss_weight: As in
            ``KeypointMSELoss``.
    """

    def __init__(self, loss_function: Callable[..., Tensor],
                 use_target_weight: bool, skip_empty_channel: bool,
                 loss_weight: float):
        super().__init__(
            use_target_weight=use_target_weight,
            skip_empty_channel=skip_empty_channel,
            loss_weight=loss_weight)
        self.loss_function = loss_function
        self._values_checked = False

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
        """Forward function of loss.

        Args:
            output (Tensor): The output heatmaps with shape [B, K, H, W].
            target (Tensor): The target heatmaps with shape [B, K, H, W].
            target_weights (Tensor, optional): The non-negative weights of
                keypoints, with shape [B, K] (keypoint-wise) or [B, K, H, W]
                (pixel-wise). As in ``KeypointMSELoss``, they are used
                wherever they are given.
            mask (Tensor, optional): The masks of valid heatmap pixels in
                shape [B, K, H, W] or [B, 1, H, W].

        Returns:
            Tensor: The calculated loss, a scalar.

        Raises:
            ValueError: If the shapes of output and target differ or the
                target lies outside [0, ``heatmap_max``].
            AssertionError: If the shapes of target and weights differ.
        """
        check_values = not is_compiling() and (
            target.device.type == 'cpu' or not self._values_checked)
        if check_values:
            self._values_checked = True
        mask = self._get_mask(target, target_weights, mask)
        loss = self.loss_function(
            output, target, mask, check_values=check_values)
        return loss * self.loss_weight


@MODELS.register_module()
class FocusMSELoss(_HeatmapLoss):
    r"""Focus (focal) MSE loss for heatmaps, :func:`focus_mse_loss`.

    .. math::
        L = \frac{1}{N} \sum_i m_i \, (y_i + \delta)^\gamma \, (p_i - y_i)^2

    Args:
        gamma (float): Exponent, at least 0; 0 is ``KeypointMSELoss`` bit for
            bit. Defaults to 1.
        delta (float): Offset, at least 0, above 0 where ``gamma`` is
            fractional. Defaults to 1.
        normalize (bool): Divide by the mean weight of the unmasked pixels of
            the batch, so that the loss keeps the scale of plain MSE. Useful
            beside other losses, with SGD or with clipped gradients; Adam,
            which the recipes here train with, does not see a loss's scale.
            Defaults to ``False``, the equation as published.
        heatmap_max (float): Peak value of the codec's heatmaps: 1 for
            MSRAHeatmap and UDPHeatmap, 255 for MegviiHeatmap. Defaults to 1.
        use_target_weight (bool): As in ``KeypointMSELoss``.
        skip_empty_channel (bool): If ``True``, heatmap channels with no
            non-zero value (which means no visible ground-truth keypoint in
            the image) will not be used to calculate the loss. Defaults to
            ``False``.
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    def __init__(self,
                 gamma: float = 1.,
                 delta: float = 1.,
                 normalize: bool = False,
                 heatmap_max: float = 1.,
                 use_target_weight: bool = False,
                 skip_empty_channel: bool = False,
                 loss_weight: float = 1.):
        _check_focus_arguments(gamma, delta, heatmap_max)
        super().__init__(
            partial(
                focus_mse_loss,
                gamma=gamma,
                delta=delta,
                normalize=normalize,
                heatmap_max=heatmap_max), use_target_weight,
            skip_empty_channel, loss_weight)


@MODELS.register_module()
class WeightAdaptiveMSELoss(_HeatmapLoss):
    r"""Weight-adaptive heatmap regression loss (WAHR),
    :func:`weight_adaptive_mse_loss`.

    .. math::
        L = \frac{1}{N} \sum_i m_i \left(y_i^\gamma |1 - p_i|
        + (1 - y_i^\gamma) |p_i|\right) (p_i - y_i)^2

    Args:
        gamma (float): Exponent above 0. Defaults to 0.01.
        heatmap_max (float): Peak value of the codec's heatmaps. Defaults to
            1.
        use_target_weight (bool): As in ``KeypointMSELoss``.
        skip_empty_channel (bool): As in ``KeypointMSELoss``.
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    def __init__(self,
                 gamma: float = 0.01,
                 heatmap_max: float = 1.,
                 use_target_weight: bool = False,
                 skip_empty_channel: bool = False,
                 loss_weight: float = 1.):
        _check_weight_adaptive_arguments(gamma, heatmap_max)
        super().__init__(
            partial(
                weight_adaptive_mse_loss, gamma=gamma,
                heatmap_max=heatmap_max), use_target_weight,
            skip_empty_channel, loss_weight)


@MODELS.register_module()
class HeatmapWeightingMSELoss(_HeatmapLoss):
    r"""Heatmap weighting loss, :func:`heatmap_weighting_mse_loss`.

    .. math::
        L = \frac{1}{N} \sum_i m_i \, (F(y_i) + 1) \, (p_i - y_i)^2

    Args:
        function (str): F: ``'linear'`` (:math:`y`), ``'power'``
            (:math:`y^2`) or ``'exponential'`` (:math:`e^y`). Defaults to
            ``'linear'``.
        heatmap_max (float): Peak value of the codec's heatmaps. Defaults to
            1.
        use_target_weight (bool): As in ``KeypointMSELoss``.
        skip_empty_channel (bool): As in ``KeypointMSELoss``.
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    def __init__(self,
                 function: str = 'linear',
                 heatmap_max: float = 1.,
                 use_target_weight: bool = False,
                 skip_empty_channel: bool = False,
                 loss_weight: float = 1.):
        _check_heatmap_weighting_arguments(function, heatmap_max)
        super().__init__(
            partial(
                heatmap_weighting_mse_loss,
                function=function,
                heatmap_max=heatmap_max), use_target_weight,
            skip_empty_channel, loss_weight)
