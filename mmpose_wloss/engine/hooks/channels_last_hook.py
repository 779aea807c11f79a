import torch
from mmengine.hooks import Hook
from mmpose.registry import HOOKS
from torch import nn

from ...common.hooks import model_of


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Hands images to a network with the channels last, faster for some networks.

    Convolutions take over their layout. Values are those of the stock layout but
    for the order of sums. :class:`PoseCons` and its kin have an option of their
    own, which lays out weights too.
    """

    def before_train(self, runner) -> None:
        """Change what the preprocessor gives, in validation too."""
        self.handle = model_of(runner).data_preprocessor.register_forward_hook(
            with_channels_last)

    def after_train(self, runner) -> None:
        """Leave the preprocessor as it was."""
        self.handle.remove()


# as is the preprocessor, beside which a graph ends anyway
@torch.compiler.disable
def with_channels_last(module: nn.Module, arguments: tuple, data: dict) -> dict:
    """What a preprocessor gives, with images of shape [B, C, H, W] laid out anew.

    Args:
        module (nn.Module): The preprocessor.
        arguments (tuple): What it was given.
        data (dict): What it gives. Without such images it stays as it is.
    """
    images = data['inputs']
    if not isinstance(images, torch.Tensor) or images.ndim != 4:
        return data
    return dict(data, inputs=images.contiguous(
        memory_format=torch.channels_last))
