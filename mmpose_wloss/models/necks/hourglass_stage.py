from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmpose.models.backbones.hourglass import HourglassModule
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common.errors import UserError


@MODELS.register_module()
class HourglassStage(BaseModule):
    """One more hourglass, which sees the heatmaps of the stage before.

    The second stage of a coarse-to-fine network (`Coarse-to-Fine Volumetric
    Prediction for Single-Image 3D Human Pose
    <https://arxiv.org/abs/1611.07828>`_): features and heatmaps of the first
    stage are mapped to one width and summed, and go through an hourglass.

    Args:
        in_channels (int): Channels of the features.
        heatmap_channels (int): Channels of the heatmaps.
        downsample_times (int): How often the hourglass halves its input.
        stage_channels (tuple[int]): Channels of the hourglass at each size,
            one more than ``downsample_times``; the first are those of the
            output too. The default is the stock ``HourglassNet``'s.
        stage_blocks (tuple[int]): Blocks at each size.
        norm_cfg (dict, optional): Config of the norms, by default ``BN``.
        init_cfg (dict | list[dict], optional): As in MMEngine.

    Raises:
        UserError: If the numbers of sizes differ.
    """

    def __init__(self,
                 in_channels: int,
                 heatmap_channels: int,
                 downsample_times: int = 4,
                 stage_channels: tuple[int, ...] = (256, 256, 384, 384, 512),
                 stage_blocks: tuple[int, ...] = (2, 2, 2, 2, 4),
                 norm_cfg: dict | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if not (len(stage_channels) == len(stage_blocks) ==
                downsample_times + 1):
            raise UserError(
                f'stage_channels {stage_channels} and stage_blocks '
                f'{stage_blocks} must have an entry more than '
                f'downsample_times={downsample_times}')
        norm_cfg = norm_cfg or dict(type='BN')
        self.out_channels = stage_channels[0]
        self.multiple = 2**downsample_times
        self.from_features = ConvModule(
            in_channels, self.out_channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.from_heatmaps = ConvModule(
            heatmap_channels, self.out_channels, 1, norm_cfg=norm_cfg,
            act_cfg=None)
        self.relu = nn.ReLU(inplace=True)
        self.hourglass = HourglassModule(
            downsample_times, stage_channels, stage_blocks, norm_cfg=norm_cfg)
        self.out_conv = ConvModule(
            self.out_channels, self.out_channels, 3, padding=1,
            norm_cfg=norm_cfg)

    def forward(self, features: Tensor, heatmaps: Tensor) -> Tensor:
        """Features of the stage, in the shape of the heatmaps.

        Raises:
            UserError: If a side is no multiple of 2 ** downsample_times.
        """
        if any(side % self.multiple for side in features.shape[2:]):
            raise UserError(
                f'sides of features must be multiples of {self.multiple}, but '
                f'are {tuple(features.shape[2:])}: change downsample_times')
        features = self.from_features(features) + self.from_heatmaps(heatmaps)
        return self.out_conv(self.hourglass(self.relu(features)))
