"""The expected object keypoint similarity (OKS) of a whole heatmap."""

from collections.abc import Sequence

import torch
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from torch import Tensor

from ...common import checks
from ...common.errors import UserError
from .joint_heatmap_loss import JointHeatmapLoss

# MMPose takes 0.53 of a person's box for its area where no mask is, and a crop
# is 1.25 times as wide and as high as the box
AREA = 0.53 / 1.25**2


def expected_oks_loss(output: Tensor,
                      target: Tensor,
                      sigmas: Tensor,
                      weights: Tensor | None = None,
                      mask: Tensor | None = None,
                      area: float = AREA,
                      normalization: str = 'softmax') -> Tensor:
    r"""One minus the OKS that a heatmap promises, as a distribution of the joint.

    .. math::
        L = \frac{1}{B K} \sum_{b, k} w_{bk} \Big(1 - \sum_x p_{bk}(x)
        \exp\Big(-\frac{|x - x_{bk}|^2}{2 \, a \, (2 \sigma_k)^2}\Big)\Big)

    with the heatmap normalized to p over its pixels x, the target's peak
    :math:`x_{bk}`, the joint's :math:`\sigma_k`, and the person's area a in
    pixels of the heatmap. That is the expected risk of Purkrabek & Matas,
    `ProbPose <https://arxiv.org/abs/2412.02254>`_, which normalizes by
    sparsemax, draws the OKS as target and smooths the map.

    A heatmap head knows no areas, but a crop is cut to the person's box: the area
    is the same share of every heatmap.

    Args:
        output (Tensor): Predicted heatmaps in shape [B, K, H, W].
        target (Tensor): Target heatmaps in shape [B, K, H, W]; only the place of
            their peaks counts, to a pixel.
        sigmas (Tensor): Of the joints in shape [K], above 0, as in the metainfo
            of MMPose's data sets.
        weights (Tensor, optional): Of joints in shape [B, K]. ``None``: all 1.
        mask (Tensor, optional): Of pixels that take part; broadcasts to the
            target. ``None``: all.
        area (float): Share of the heatmap that a person covers, above 0.
        normalization (str): ``'softmax'`` takes outputs for logits: any output
            has a gradient. ``'sum'`` divides heatmaps, cut off at 0, by their sum:
            for outputs that are densities already, such as of a network that was
            trained with MSE.

    Returns:
        Tensor: The loss, a scalar of at least float32 in [0, 1] for weights in
        [0, 1].

    Raises:
        ValueError: If an argument is out of its range or shapes differ.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[[0., 0., 1.]]]])
        >>> sigmas = torch.tensor([0.5])
        >>> expected_oks_loss(torch.tensor([[[[0., 0., 99.]]]]), target, sigmas)
        tensor(0.)
        >>> expected_oks_loss(torch.zeros(1, 1, 1, 3), target, sigmas)
        tensor(0.4160)
    """
    checks.positive(area=area)
    checks.one_of(('softmax', 'sum'), normalization=normalization)
    checks.same_shape(output=output, target=target)
    height, width = target.shape[2:]
    if sigmas.shape != target.shape[1:2]:
        raise UserError(f'sigmas must be of {target.shape[1]} joints, as the '
                        f'heatmaps are, but have shape {tuple(sigmas.shape)}')
    output = output.to(torch.promote_types(output.dtype, torch.float32))

    place = target.flatten(2).argmax(-1)[..., None]
    tolerance = 2 * area * height * width * (2 * sigmas.to(output)[:, None])**2
    # OKS is the product of a row's and a column's share
    rows, columns = (
        torch.exp(-(torch.arange(length, device=target.device) - center)**2
                  / tolerance)
        for length, center in ((height, place // width), (width, place % width)))

    if normalization == 'softmax':
        if mask is not None:
            # finite, so that a heatmap without pixels has no NaN
            output = output.where(mask > 0, torch.finfo(output.dtype).min)
        density = output.flatten(2).softmax(-1).view_as(output)
    else:
        density = output.clamp(min=0)
        if mask is not None:
            density = density * (mask > 0)
        density = density / density.sum((2, 3), keepdim=True).clamp(
            min=torch.finfo(output.dtype).tiny)
    # no matrix product, which autocast computes in half precision
    risk = 1 - ((density * columns[:, :, None]).sum(-1) * rows).sum(-1)
    return (risk if weights is None else risk * weights).mean()


@MODELS.register_module()
class ExpectedOKSLoss(JointHeatmapLoss):
    """One minus the expected OKS of heatmaps.

    Args:
        sigmas (str or list[float]): Of the joints, or the metainfo file of a data
            set that has them, such as ``'configs/_base_/datasets/coco.py'``.
        area, normalization: As for :func:`expected_oks_loss`.
        kwargs: ``use_target_weight``, ``skip_empty_channel`` and
            ``loss_weight`` as for ``KeypointMSELoss``.
    """

    def __init__(self, sigmas: str | Sequence[float], area: float = AREA,
                 normalization: str = 'softmax', **kwargs):
        super().__init__(**kwargs)
        checks.positive(area=area)
        checks.one_of(('softmax', 'sum'), normalization=normalization)
        values = [float(value) for value in (
            parse_pose_metainfo(dict(from_file=sigmas))['sigmas']
            if isinstance(sigmas, str) else sigmas)]
        if not values or not all(value > 0 for value in values):
            raise UserError('sigmas must be above 0, one for each joint, but '
                            f'{sigmas} gives {values}')
        self.register_buffer('sigmas', torch.tensor(values), persistent=False)
        self.area = area
        self.normalization = normalization

    def of_joints(self, output, target, weights, mask):
        return expected_oks_loss(output, target, self.sigmas, weights, mask,
                                 self.area, self.normalization)
