import torch
from mmpose.registry import MODELS
from torch import Tensor

from ...common.checks import non_negative, within
from .cutout import JointCutout, beside
from .hard_view import HardView


@MODELS.register_module()
class KeypointMask(JointCutout):
    r"""Fills boxes around the joints that are easy for the teacher with 0.

    Joint k of an image has the relative response :math:`r_k = (h_k - \min h) /
    (\max h - \min h)`, with the teacher's scores h of its joints. Joints are drawn
    without replacement from those with :math:`r_k \geq` ``threshold``: so the image has
    fewer boxes where fewer joints stand out, and its hard joints stay visible. One that
    is extremely difficult, with :math:`\max h <` ``min_score``, has one box.

    Meng et al., `Semi-supervised 2D Human Pose Estimation via Adaptive Keypoint Masking
    <https://arxiv.org/abs/2404.14835>`_, whose code is not public: how many boxes an
    image has is this package's reading.

    Args:
        num_joints (int): The most joints in an image.
        threshold (float): Lowest relative response, from 0 to 1.
        min_score (float): In units of the heatmap or of the SimCC vector.
        **kwargs: As of :class:`JointCutout`.
    """

    def __init__(self, num_joints: int = 4, threshold: float = 0.5,
                 min_score: float = 0.1, **kwargs):
        super().__init__(num_joints, **kwargs)
        within(0, 1, threshold=threshold)
        non_negative(min_score=min_score)
        self.threshold = threshold
        self.min_score = min_score

    def forward(self, view: HardView) -> HardView:
        """Hide easy joints of a view."""
        view = view.for_each_student()
        which, hidden = self.choose(view.scores.flatten(0, 1))
        centers = beside(view.moved_joints(), which, self.jitter_of(view))
        half_sizes = self.draw_half_sizes(len(centers), view.size).to(
            centers.device, non_blocking=True)
        # a box without a size holds nothing
        return self.hide(
            view, centers, half_sizes[:, :which.shape[1]] * hidden[..., None])

    def choose(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Joints to hide, and whether to, by scores in shape [B, K].

        Returns:
            tuple: Indices and truth values in shape [B, ``num_joints``], or [B, K]
            where there are fewer joints.
        """
        low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
        # so that nothing is divided by 0 where all scores are equal
        easy = scores - low >= self.threshold * (high - low)
        drawn = torch.rand(scores.shape).to(scores.device, non_blocking=True)
        drawn, which = drawn.masked_fill(~easy, -1).topk(
            min(self.count, scores.shape[1]), dim=1)
        first = torch.arange(which.shape[1], device=which.device) == 0
        return which, (drawn >= 0) & (first | (high >= self.min_score))
