import torch
from mmpose.registry import MODELS

from ...common.errors import UserError
from .hard_view import HardView, HardViewStep


@MODELS.register_module()
class HorizontalFlip(HardViewStep):
    """Mirrors all images, as one of several views of a teacher.

    Left and right joints change places in what the teacher predicts then, which
    :func:`average_views` undoes.

    Raises:
        UserError: In a training, if samples do not say which joints change places.
    """

    for_teachers = True

    def forward(self, view: HardView) -> HardView:
        """Mirror a view."""
        if view.flip_indices is None:
            raise UserError(
                'HorizontalFlip needs the flip_indices of the data set, but samples '
                'lack them. Keep them in meta_keys of PackSemiSupervisedPoseInputs')
        x, y, shift = view.matrix.unbind(2)
        last = view.size[0] - 1
        return view.replace(
            image=view.image.flip(3), mirrored=not view.mirrored,
            matrix=torch.stack([-x, y, shift + last * x], dim=2))
