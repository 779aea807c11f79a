from functools import partial

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList, Sequential
from mmpose.models.backbones.base_backbone import BaseBackbone
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptConfigType, OptMultiConfig
from torch import Tensor, nn

from ...common import checks
from ...common.errors import UserError


class PreActBottleneck(BaseModule):
    """Residual of three convolutions, each after its norm and activation.

    He et al., `Identity Mappings in Deep Residual Networks
    <https://arxiv.org/abs/1603.05027>`_. The 3×3 convolution has half as many
    channels as the output; with ``mobile`` it is depthwise.
    """

    def __init__(self, in_channels: int, out_channels: int, mobile: bool,
                 norm_cfg: ConfigType):
        super().__init__()
        middle = out_channels // 2

        conv = partial(ConvModule, bias=True, norm_cfg=norm_cfg,
                       order=('norm', 'act', 'conv'))
        self.conv1 = conv(in_channels, middle, 1)
        self.conv2 = conv(middle, middle, 3, padding=1,
                          groups=middle if mobile else 1)
        self.conv3 = conv(middle, out_channels, 1)
        self.shortcut = (nn.Identity() if in_channels == out_channels else
                         nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The input, or its projection, and the residual."""
        return self.shortcut(x) + self.conv3(self.conv2(self.conv1(x)))


def residuals(in_channels: int, out_channels: int, num_blocks: int,
              mobile: bool, norm_cfg: ConfigType) -> Sequential:
    """Bottlenecks in a row, of which the first changes the channels."""
    return Sequential(*(
        PreActBottleneck(in_channels if index == 0 else out_channels,
                         out_channels, mobile, norm_cfg)
        for index in range(num_blocks)))


class PreActHourglass(BaseModule):
    """One hourglass: halve the resolution ``depth`` times, and double it again.

    Each place has bottlenecks as of :func:`residuals`.
    """

    def __init__(self, depth: int, channels: int, *block_args):
        super().__init__()
        blocks = partial(residuals, channels, channels, *block_args)
        self.skip = blocks()
        self.down = blocks()
        self.inner = (blocks() if depth == 1 else
                      PreActHourglass(depth - 1, channels, *block_args))
        self.up = blocks()

    def forward(self, x: Tensor) -> Tensor:
        """Features in the shape of the input."""
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(low, scale_factor=2.)


@MODELS.register_module()
class PreActHourglassNet(BaseBackbone):
    """Stacked hourglass of pre-activation bottlenecks, standard or mobile.

    The network of fast pose distillation: each stack predicts heatmaps, which
    are fed back into the next one. Newell et al., `Stacked Hourglass Networks
    <https://arxiv.org/abs/1603.06937>`_; Zhang et al., `Fast Human Pose
    Estimation <https://arxiv.org/abs/1811.05419>`_.

    The convolutions that predict are in here, as in MMPose's ``CPM``, so the
    head has none of its own: ``CPMHead`` with ``final_layer=None``.

    Args:
        num_stacks (int): Number of hourglasses.
        num_blocks (int): Bottlenecks at each place of an hourglass.
        num_feats (int): Channels of the bottlenecks' 3×3 convolutions;
            features have twice as many.
        mobile (bool): Whether these convolutions are depthwise.
        out_channels (int): Number of keypoints.
        stem_channels (int): Channels of the first convolution.
        downsample_times (int): How often an hourglass halves the resolution.
        norm_cfg (dict, optional): Config of the norms, by default ``BN``.
        init_cfg (dict, optional): By default PyTorch's initialization, as in
            the original code.

    Raises:
        UserError: If a number is not a whole one of at least 1.

    Example:
        >>> import torch
        >>> net = PreActHourglassNet(num_stacks=2, num_blocks=1, mobile=True)
        >>> sum(x.numel() for x in net.parameters())
        2305504
        >>> [list(x.shape) for x in net(torch.rand(2, 3, 64, 64))]
        [[2, 16, 16, 16], [2, 16, 16, 16]]
    """

    def __init__(self, num_stacks: int, num_blocks: int, num_feats: int = 128,
                 mobile: bool = False, out_channels: int = 16,
                 stem_channels: int = 64, downsample_times: int = 4,
                 norm_cfg: OptConfigType = None,
                 init_cfg: OptMultiConfig = None):
        super().__init__(init_cfg)
        checks.whole(1, num_stacks=num_stacks, num_blocks=num_blocks,
                     num_feats=num_feats, out_channels=out_channels,
                     stem_channels=stem_channels,
                     downsample_times=downsample_times)
        norm_cfg = norm_cfg or dict(type='BN')
        self.num_stacks = num_stacks
        # of the input: 4 by the stem, the rest by the hourglass
        self.stride = 2**(2 + downsample_times)
        channels, block = 2 * num_feats, (mobile, norm_cfg)

        self.stem = Sequential(
            ConvModule(3, stem_channels, 7, stride=2, padding=3, bias=True,
                       norm_cfg=norm_cfg),
            PreActBottleneck(stem_channels, 2 * stem_channels, *block),
            nn.MaxPool2d(2),
            PreActBottleneck(2 * stem_channels, 4 * stem_channels, *block),
            PreActBottleneck(4 * stem_channels, channels, *block))
        stacks, fed_back = range(num_stacks), range(num_stacks - 1)
        self.hourglasses = ModuleList(
            PreActHourglass(downsample_times, channels, num_blocks, *block)
            for _ in stacks)
        self.features = ModuleList(Sequential(
            *residuals(channels, channels, num_blocks, *block),
            ConvModule(channels, channels, 1, bias=True, norm_cfg=norm_cfg))
            for _ in stacks)
        self.predictions = ModuleList(
            nn.Conv2d(channels, out_channels, 1) for _ in stacks)
        self.remap_features = ModuleList(
            nn.Conv2d(channels, channels, 1) for _ in fed_back)
        self.remap_predictions = ModuleList(
            nn.Conv2d(out_channels, channels, 1) for _ in fed_back)
        self._reset_convolutions()

    def _reset_convolutions(self) -> None:
        # ConvModule draws by He's rule and takes depthwise convolutions for
        # dense ones, whose weights come out far too small
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()

    def init_weights(self) -> None:
        """Draw the weights anew, or as ``init_cfg`` says."""
        if self.init_cfg:
            super().init_weights()
        else:
            self._reset_convolutions()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Heatmaps [B, K, H/4, W/4] of each stack for images [B, 3, H, W].

        Raises:
            UserError: If H or W is no multiple of 4 · 2^downsample_times.
        """
        height, width = x.shape[2:]
        if height % self.stride or width % self.stride:
            raise UserError('sides of images must be multiples of '
                            f'{self.stride}, but they are {width} × {height}')
        x = self.stem(x)
        heatmaps = []
        for stack in range(self.num_stacks):
            features = self.features[stack](self.hourglasses[stack](x))
            heatmaps.append(self.predictions[stack](features))
            if stack + 1 < self.num_stacks:
                x = (x + self.remap_features[stack](features)
                     + self.remap_predictions[stack](heatmaps[-1]))
        return heatmaps
