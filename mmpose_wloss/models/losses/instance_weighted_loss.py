"""Weights of samples that count linearly, whatever the loss does with them."""

import torch
from mmengine.config import ConfigDict
from mmengine.utils import apply_to
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common import checks
from ...common.errors import UserError
from ...compat.compilation import is_compiling


@MODELS.register_module()
class InstanceWeightedLoss(nn.Module):
    r"""Makes a loss linear in the weights of its samples.

    Several stock losses multiply output and target by the weight before they
    compare them: ``MSELoss`` and ``CombinedTargetMSELoss`` square a weight,
    ``SmoothL1Loss`` and ``WingLoss`` do something in between. Here the largest
    weight :math:`w_i` of a sample's joints is taken out first:

    .. math:: L = \frac{1}{B} \sum_i w_i \,
        \ell\!\left(o_i, y_i, \frac{m_i}{w_i}\right)

    with the loss :math:`\ell` on each sample alone. For weights of 0 and 1
    that is the loss itself, which the first call that is not compiled checks.
    Where joints have weights of their own (``use_dataset_keypoint_weights``),
    the largest goes with the sample's: wrap the loss that you compare with too.

    Args:
        loss (dict): Config of a loss of ``(output, target, target_weights)``.
        reduction (str): How that loss reduces over samples: ``'mean'``, or
            ``'sum'``, as MMPose's ``KLDiscretLoss``, which needs no wrapper.
    """

    def __init__(self, loss: dict | ConfigDict, reduction: str = 'mean'):
        super().__init__()
        checks.one_of(('mean', 'sum'), reduction=reduction)
        self.loss = MODELS.build(loss)
        self.reduction = reduction
        self.checked = False

    def forward(self, output: Tensor | tuple[Tensor, ...],
                target: Tensor | tuple[Tensor, ...],
                target_weights: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            output (Tensor or tuple[Tensor]): Of the head, in shape [B, …].
            target (Tensor or tuple[Tensor]): In the same shape.
            target_weights (Tensor, optional): In shape [B, K, …]. ``None``:
                the loss as it is.

        Raises:
            ValueError: If the loss is no mean (or sum) over samples, no single
                number, or branches on values.
        """
        if target_weights is None:
            return self.loss(output, target)
        if not (self.checked or is_compiling()) and bool(
                (target_weights > 0).any()):
            self._check(output, target, target_weights)
            self.checked = True
        return self._weigh(output, target, target_weights)

    @torch.no_grad()
    def _check(self, output, target, target_weights: Tensor) -> None:
        mask = (target_weights > 0).to(target_weights)
        plain = self.loss(output, target, mask)
        name = type(self.loss).__name__
        if not isinstance(plain, Tensor) or plain.numel() != 1:
            raise UserError(
                f'{name} returns no single number: wrap the losses that it '
                'is made of, each in an InstanceWeightedLoss')
        try:
            ours = self._weigh(output, target, mask)
        except RuntimeError as error:
            raise UserError(
                f'InstanceWeightedLoss cannot weigh the samples of {name}, '
                f'which torch.func.vmap cannot compute one by one: {error}'
            ) from error
        if not torch.allclose(ours.float(), plain.float(), rtol=0.02):
            raise UserError(
                f'{name} of weights 0 and 1 is {plain:.4g}, but the '
                f'{self.reduction} of its samples is {ours:.4g}: try another '
                'reduction, or leave a loss that is linear already unwrapped')

    def _weigh(self, output, target, target_weights: Tensor) -> Tensor:
        weights = target_weights.flatten(1).amax(1)
        divisors = weights.where(weights > 0, torch.ones_like(weights))
        shares = target_weights / divisors.reshape(
            -1, *[1] * (target_weights.ndim - 1))

        def of_sample(*inputs) -> Tensor:
            return self.loss(*apply_to(inputs, torch.is_tensor,
                                       lambda each: each[None]))

        weighted = weights * torch.func.vmap(of_sample)(output, target, shares)
        return weighted.mean() if self.reduction == 'mean' else weighted.sum()
