import copy
from collections.abc import Sequence

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..hard_views import HardView
from ..heads.keypoint_outputs import Output, average, select
from .easy_hard_consistency import EasyHardConsistency


@MODELS.register_module()
class PoseTriple(EasyHardConsistency):
    r"""Two networks that teach each other, and a third that learns where they agree.

    The first and the second train as those of :class:`PoseDual`. Of both there is also
    what they were at the end of the last round, a pass over the data. For each joint
    the third network learns the mean heatmap of the pair that agrees best:

    .. math::
        y = \tfrac{1}{2} \left(h_1^{a} + h_2^{b}\right), \quad
        (a, b) = \arg\min_{a, b \in \{\text{now}, \text{former}\}}
        \left\lVert p_1^{a} - p_2^{b} \right\rVert

    with heatmaps h on the easy view and the places p of their highest values. During
    the first round it is the mean of what both predict now.

    Huang et al., `Semi-Supervised 2D Human Pose Estimation Driven by Position
    Inconsistency Pseudo Label Correction Module <https://arxiv.org/abs/2303.04346>`_
    (CVPR 2023, SSPCM), as its public code computes it. Joints are judged by
    ``confidence_threshold`` for all three networks alike, by the mean of the scores of
    the first and the second; the original code has 0.1. The third predicts no easy
    view, so the log tells its scores on the first path's hard view. Arguments are those
    of :class:`EasyHardConsistency`.
    """

    TEACHERS = dict(first='second', second='first', third='agreement')

    def begin_rounds(self) -> None:
        """Have a place for what the first and the second network were."""
        # in the state, so that a resumed training has them, too
        self.former = nn.ModuleDict({
            name: copy.deepcopy(self.teaching(name)).requires_grad_(False)
            for name in ('first', 'second')})
        self.register_buffer('rounds', torch.tensor(0))

    def predict_easy(self, views: Sequence[HardView]) -> dict[str, Output]:
        """What the networks predict, and as ``'agreement'`` what the third learns."""
        predicted = super().predict_easy(views)
        first, second = (
            [self.outputs.final(output) for output in (
                predicted[name], self.teach_with(former, views))]
            for name, former in self.former.items())
        pairs = [(one, other) for other in second for one in first]
        distances = torch.stack([
            (self.outputs.joints(one) - self.outputs.joints(other)).norm(dim=2)
            for one, other in pairs])
        # pairs but the first are of what a round has left
        distances[1:].masked_fill_(self.rounds == 0, torch.inf)
        agreement = select([average(pair) for pair in pairs], distances.argmin(dim=0))
        return dict(predicted, agreement=agreement)

    def scores(self, peaks: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mean of both networks' scores, for all that teach."""
        return dict.fromkeys(peaks, (peaks['first'] + peaks['second']) / 2)

    @torch.no_grad()
    def end_round(self) -> None:
        """Keep the first and the second network as they are now."""
        for name, former in self.former.items():
            for kept, value in zip(former.state_dict().values(),
                                   self.teaching(name).state_dict().values(),
                                   strict=True):
                kept.copy_(value)
        self.rounds += 1
