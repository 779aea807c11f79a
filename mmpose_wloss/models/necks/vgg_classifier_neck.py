from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common.errors import UserError


@MODELS.register_module()
class VGGClassifierNeck(BaseModule):
    """The hidden layers of VGG's classifier, between a ``VGG`` and a
    ``RegressionHead``.

    Two fully connected layers, each with ReLU and dropout. The head takes the
    place of the classifier's last layer, as in DeepPose (Toshev & Szegedy,
    `DeepPose: Human Pose Estimation via Deep Neural Networks
    <https://arxiv.org/abs/1312.4659>`_) with VGG for its network.

    Its parameters have the names that they have in MMPose's VGG, so that it
    can start from the classifier that belongs to the backbone's weights:
    ``init_cfg=dict(type='Pretrained', checkpoint='mmcls://vgg16_bn')``.

    Args:
        in_channels (int): Channels times height times width of the features.
            The default is for 224 × 224 pixels.
        channels (int): Width of both layers.
        dropout (float): The share of activations that is dropped.
        init_cfg (dict, optional): By default N(0, 0.01) and biases 0, as in
            MMPose's ``VGG``.
    """

    def __init__(self,
                 in_channels: int = 512 * 7 * 7,
                 channels: int = 4096,
                 dropout: float = 0.5,
                 init_cfg: dict | list[dict] | None = None) -> None:
        if init_cfg is None:
            init_cfg = dict(type='Normal', std=0.01, layer='Linear')
        super().__init__(init_cfg=init_cfg)
        self.in_channels = in_channels
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, channels), nn.ReLU(inplace=True),
            nn.Dropout(dropout), nn.Linear(channels, channels),
            nn.ReLU(inplace=True), nn.Dropout(dropout))

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor]:
        """Flatten the last of feats, [B, C, H, W], and map it to [B, channels].

        Raises:
            UserError: If C · H · W is not ``in_channels``.
        """
        features = torch.flatten(feats[-1], 1)
        if features.shape[1] != self.in_channels:
            raise UserError(
                f'in_channels is {self.in_channels}, but the backbone gives '
                f'{features.shape[1]}, in shape {tuple(feats[-1].shape[1:])}')
        return (self.classifier(features), )
