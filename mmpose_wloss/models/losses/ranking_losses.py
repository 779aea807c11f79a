r"""Losses that rank: pixels of a heatmap, and the people of a batch.

In the manner of RSPose (Keles et al., `Ranking Based Losses for Human Pose
Estimation <https://arxiv.org/abs/2511.13857>`_): a Spatial Rank & Sort loss lets
pixels near a joint outscore the background and each other by their target; an
Instance-Sort loss lets people that are located well outscore the others. Both are
of Rank & Sort loss (Oksuz et al., `ICCV 2021
<https://arxiv.org/abs/2107.11669>`_, equations 7 and 8), whose equations, with
scores :math:`s` and labels :math:`y` of positives :math:`P` and negatives
:math:`N`, are

.. math::
    L = \frac{1}{|P|} \sum_{i \in P} \Big[
        \underbrace{\frac{\sum_{j \in N} H_{ij}}{\sum_{j \in P \cup N} H_{ij}}
        }_{\ell_R(i)} + \underbrace{
        \frac{\sum_{j \in P} H_{ij} (1 - y_j)}{\sum_{j \in P} H_{ij}}
        - \frac{\sum_{j \in P, y_j \ge y_i} H_{ij} (1 - y_j)}
               {\sum_{j \in P, y_j \ge y_i} H_{ij}}}_{\ell_S(i)} \Big]

with :math:`H_{ij}`, the step that says whether j outscores i, a ramp of the half
width :math:`\delta`: :math:`\min(1, \max(0, (s_j - s_i) / 2\delta + 1/2))`.
"""

import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common import checks
from .joint_heatmap_loss import JointHeatmapLoss


class _IdentityUpdate(torch.autograd.Function):
    """Errors in shape [R] of scores in shape [R, N], with a given gradient."""

    @staticmethod
    def forward(ctx, scores: Tensor, errors: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return errors.clone()

    @staticmethod
    def backward(ctx, factors: Tensor):
        gradient, = ctx.saved_tensors
        return factors[:, None] * gradient, None, None


def _sort(scores: Tensor, labels: Tensor, weights: Tensor,
          delta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rank, sorting error and its update for each of [R, P] positives.

    A weight of 0 takes a positive out; others multiply its error.
    """
    present = (weights > 0).to(scores)
    above = ((scores[:, None] - scores[..., None]) / (2 * delta) + 0.5).clamp(0, 1)
    above = above * present[:, None]
    in_order = above * (labels[:, None] >= labels[..., None])
    # of a positive it is at least its own 1/2
    rank = above.sum(-1).clamp(min=0.5)
    badness = 1 - labels[:, None]
    error = weights * (
        (above * badness).sum(-1) / rank
        - (in_order * badness).sum(-1) / in_order.sum(-1).clamp(min=0.5))
    out_of_order = above - in_order
    share = out_of_order / out_of_order.sum(-1, keepdim=True).clamp(
        min=torch.finfo(scores.dtype).tiny)
    return rank, error, (error[..., None] * share).sum(1) - error


def _rank(scores: Tensor, negative: Tensor, positive_scores: Tensor,
          positive: Tensor, rank_among_positives: Tensor,
          delta: float) -> tuple[Tensor, Tensor]:
    r"""Ranking error of [R, P] positives, and the update of [R, N] negatives.

    As :math:`2 \delta H_{ij} = (s_j - s_i + \delta)_+ - (s_j - s_i - \delta)_+`,
    sums over pairs are sums over the negatives between 2 P knots.
    """
    knots, order = torch.cat(
        [positive_scores - delta, positive_scores + delta], -1).sort(-1)
    interval = torch.searchsorted(knots, scores)

    def beyond(values: Tensor) -> Tensor:
        """Sums over the negatives above each knot."""
        sums = values.new_zeros(len(knots), knots.shape[1] + 1)
        sums = sums.scatter_add(-1, interval, values)
        return sums.flip(-1).cumsum(-1).flip(-1)[:, 1:]

    ramps = beyond(negative * scores) - knots * beyond(negative)
    low, high = torch.empty_like(ramps).scatter(-1, order, ramps).chunk(2, -1)
    false_positives = ((low - high) / (2 * delta)).clamp(min=0)
    rank = rank_among_positives + false_positives

    slopes = (positive / (2 * delta * rank)).repeat(1, 2)
    slopes[:, positive.shape[1]:] *= -1
    slopes = slopes.gather(-1, order)
    slope, offset = (
        F.pad(each.cumsum(-1), (1, 0)).gather(-1, interval)
        for each in (slopes, slopes * knots))
    return (positive * false_positives / rank,
            negative * (slope * scores - offset).clamp(min=0))


def spatial_rank_sort_loss(output: Tensor,
                           target: Tensor,
                           weights: Tensor | None = None,
                           mask: Tensor | None = None,
                           positives: int = 25,
                           delta: float = 0.5) -> Tensor:
    r"""Rank & Sort loss over the pixels of each heatmap.

    Positives are the pixels of the highest target, with labels that are the
    target over its largest value; negatives are those of a lower target. The
    gradient is the paper's identity update: a positive gets
    :math:`-\ell_R - \ell_S`, and what outscores it shares that out by
    :math:`H`. Exact in :math:`O(n \log P)` time for n pixels, in float64.

    One more negative has the score 0, since decoders of MMPose take a peak of at
    most 0 for no joint and ranks alone set no level.

    Args:
        output (Tensor): Predicted heatmaps in shape [B, K, H, W], or SimCC's of
            an axis in shape [B, K, W]; of any range.
        target (Tensor): Targets in the same shape, of at least 0.
        weights (Tensor, optional): Of joints in shape [B, K]. ``None``: all 1.
        mask (Tensor, optional): Of pixels that take part; broadcasts to the
            target. ``None``: all.
        positives (int): The most pixels of a heatmap that are positive. A target
            of 0 is never; further pixels with the last one's target take no part.
        delta (float): Half width of the step, above 0, in units of the output.

    Returns:
        Tensor: The mean over joints, a scalar of at least float32 in [0, 2).

    Raises:
        ValueError: If an argument is out of its range or shapes differ.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[0., 0.5, 1.]]])
        >>> spatial_rank_sort_loss(torch.tensor([[[-9., 5., 9.]]]), target)
        tensor(0.)
        >>> spatial_rank_sort_loss(torch.tensor([[[-9., 9., 5.]]]), target)
        tensor(0.1667)
    """
    checks.whole(positives=positives)
    checks.positive(delta=delta)
    checks.same_shape(output=output, target=target)
    takes_part = torch.ones_like(target, dtype=torch.bool) if mask is None else (
        mask > 0).expand_as(target)
    scores = output.to(torch.promote_types(output.dtype, torch.float32))
    # the level that the background has, as one more negative
    scores, labels, takes_part = (
        F.pad(each.flatten(2).flatten(0, 1), (0, 1), value=value)
        for each, value in ((scores, 0.), (target.detach(), 0.),
                            (takes_part, True)))
    with torch.no_grad():
        labels = labels.double() * takes_part
        best, places = labels.topk(min(positives, labels.shape[1]))
        positive = (best > 0).double()
        lowest = best.where(best > 0, torch.inf).amin(-1, keepdim=True)
        negative = (takes_part & (labels < lowest)).double()
        count = positive.sum(-1, keepdim=True).clamp(min=1)

        exact = scores.double()
        chosen = exact.gather(-1, places)
        rank, sorting, update = _sort(
            chosen, best / best[:, :1].clamp(min=torch.finfo(best.dtype).tiny),
            positive, delta)
        ranking, gradient = _rank(exact, negative, chosen, positive, rank, delta)
        gradient.scatter_add_(-1, places, update - ranking)
        errors = (ranking + sorting).sum(-1) / count[:, 0]
    loss = _IdentityUpdate.apply(
        scores, errors.to(scores), (gradient / count).to(scores))
    return (loss if weights is None else loss * weights.flatten()).mean()


def instance_sort_loss(scores: Tensor,
                       qualities: Tensor,
                       weights: Tensor | None = None,
                       delta: float = 0.5) -> Tensor:
    r"""Sorting error of people: of two, the one located better scores higher.

    Score and quality of a person are the means over the joints; the loss is
    :math:`\ell_S` above with all people as positives, the quality as label, and
    the identity update as gradient.

    Args:
        scores (Tensor): Of the predicted joints in shape [B, K], of any range.
        qualities (Tensor): How well each is located in shape [B, K], in [0, 1].
        weights (Tensor, optional): Of joints in shape [B, K], by which they count
            in their person; the largest weighs the person. ``None``: all 1.
        delta (float): Half width of the step, above 0, in units of the scores.

    Returns:
        Tensor: The mean over people, a scalar of at least float32 in [0, 1).

    Raises:
        ValueError: If an argument is out of its range or shapes differ.

    Example:
        >>> import torch
        >>> qualities = torch.tensor([[1.], [0.]])
        >>> instance_sort_loss(torch.tensor([[9.], [1.]]), qualities)
        tensor(0.)
        >>> instance_sort_loss(torch.tensor([[1.], [9.]]), qualities)
        tensor(0.3333)
    """
    checks.positive(delta=delta)
    checks.same_shape(scores=scores, qualities=qualities)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = torch.ones_like(scores) if weights is None else weights.to(scores)
    joints = weights / weights.sum(1, keepdim=True).clamp(
        min=torch.finfo(scores.dtype).tiny)
    people = (scores * joints).sum(1)[None]
    with torch.no_grad():
        importance = weights.amax(1)[None].double()
        _, errors, update = _sort(
            people.double(), (qualities.to(joints) * joints).sum(1)[None].double(),
            importance, delta)
        count = (importance > 0).sum(-1, keepdim=True).clamp(min=1)
    return _IdentityUpdate.apply(
        people, (errors.sum(-1) / count[0]).to(people),
        (update / count).to(people)).mean()


def _peaks(output: Tensor, target: Tensor,
           mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Score of each peak, and the target there over the target's own peak.

    For a Gaussian target that is what OKS is, with the target's sigma as
    tolerance.
    """
    if mask is not None:
        # finite, as a joint without pixels has the weight 0
        output = output.where(mask > 0, torch.finfo(output.dtype).min)
        target = target * (mask > 0)
    score, place = output.flatten(2).max(-1)
    target = target.flatten(2).to(torch.promote_types(target.dtype, torch.float32))
    quality = target.gather(-1, place[..., None])[..., 0]
    return score, quality / target.amax(-1).clamp(
        min=torch.finfo(target.dtype).tiny)


@MODELS.register_module()
class RankSortLoss(JointHeatmapLoss):
    """Spatial Rank & Sort loss and Instance-Sort loss for heatmaps.

    A person's score is the mean of its joints' peaks; its quality is the mean of
    the target at the peaks, over the target's largest value.

    Args:
        positives, delta: As for :func:`spatial_rank_sort_loss`.
        instance_weight (float): Weight of :func:`instance_sort_loss`, at least
            0, which leaves it out.
        kwargs: ``use_target_weight``, ``skip_empty_channel`` and
            ``loss_weight`` as for ``KeypointMSELoss``.
    """

    def __init__(self, positives: int = 25, delta: float = 0.5,
                 instance_weight: float = 1., **kwargs):
        super().__init__(**kwargs)
        checks.whole(positives=positives)
        checks.positive(delta=delta)
        checks.non_negative(instance_weight=instance_weight)
        self.positives = positives
        self.delta = delta
        self.instance_weight = instance_weight

    def of_joints(self, output, target, weights, mask):
        loss = spatial_rank_sort_loss(
            output, target, weights, mask, self.positives, self.delta)
        if self.instance_weight:
            loss = loss + self.instance_weight * instance_sort_loss(
                *_peaks(output, target, mask), weights, self.delta)
        return loss


@MODELS.register_module()
class RankSortDiscretLoss(nn.Module):
    """Spatial Rank & Sort loss and Instance-Sort loss for SimCC.

    It stands where ``KLDiscretLoss`` stands. The spatial loss is the sum of both
    axes'. A joint's score is its lower peak of both axes, as SimCC's decoder has
    it; its quality is the product of both axes' targets there.

    Args:
        positives, delta, instance_weight: As for :class:`RankSortLoss`;
            positives of each axis.
        use_target_weight (bool): Whether weights of joints count.
        loss_weight (float): Weight of the loss.
    """

    def __init__(self, positives: int = 25, delta: float = 0.5,
                 instance_weight: float = 1., use_target_weight: bool = True,
                 loss_weight: float = 1.):
        super().__init__()
        checks.whole(positives=positives)
        checks.positive(delta=delta)
        checks.non_negative(instance_weight=instance_weight)
        self.positives = positives
        self.delta = delta
        self.instance_weight = instance_weight
        self.use_target_weight = use_target_weight
        self.loss_weight = loss_weight

    def forward(self, pred_simcc: tuple[Tensor, Tensor],
                gt_simcc: tuple[Tensor, Tensor],
                target_weight: Tensor | None = None) -> Tensor:
        """Forward function of loss, as of ``KLDiscretLoss``.

        Args:
            pred_simcc, gt_simcc (tuple[Tensor, Tensor]): Of x and y, in shapes
                [B, K, W] and [B, K, H].
            target_weight (Tensor, optional): Non-negative, in shape [B, K].

        Raises:
            ValueError: If shapes of output and target differ.
        """
        weights = target_weight if self.use_target_weight else None
        axes = list(zip(pred_simcc, gt_simcc, strict=True))
        loss = sum(spatial_rank_sort_loss(
            output, target, weights, None, self.positives, self.delta)
            for output, target in axes)
        if self.instance_weight:
            scores, qualities = zip(*(_peaks(*axis) for axis in axes), strict=True)
            loss = loss + self.instance_weight * instance_sort_loss(
                torch.minimum(*scores), qualities[0] * qualities[1], weights,
                self.delta)
        return self.loss_weight * loss
