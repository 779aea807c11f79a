import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList, Sequential
from mmpose.models.backbones.base_backbone import BaseBackbone
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptConfigType, OptMultiConfig
from torch import Tensor, nn


class PreActBottleneck(BaseModule):
    """Residual of three convolutions, each after its norm and activation.

    He et al., `Identity Mappings in Deep Residual Networks
    <https://arxiv.org/abs/1603.05027>`_.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output; the 3×3 convolution has
            half as many.
        mobile (bool): Whether the 3×3 convolution is depthwise.
        norm_cfg (dict): Config of the norms.
    """

    def __init__(self, in_channels: int, out_channels: int, mobile: bool,
                 norm_cfg: ConfigType):
        super().__init__()
        middle = out_channels // 2

        def conv(channels: int, out: int, size: int, groups: int = 1):
            return ConvModule(
                channels, out, size, padding=size // 2, groups=groups,
                bias=True, norm_cfg=norm_cfg, order=('norm', 'act', 'conv'))

        self.conv1 = conv(in_channels, middle, 1)
        self.conv2 = conv(middle, middle, 3, groups=middle if mobile else 1)
        self.conv3 = conv(middle, out_channels, 1)
        self.shortcut = (nn.Identity() if in_channels == out_channels else
                         nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The input, or its projection, and the residual."""
        return self.shortcut(x) + self.conv3(self.conv2(self.conv1(x)))


class PreActHourglass(BaseModule):
    """One hourglass: halve the resolution some times, and double it again.

    Args:
        depth (int): How often the resolution is halved.
        channels (int): Channels of input and output.
        num_blocks (int): Bottlenecks at each place.
        mobile (bool): Whether their 3×3 convolutions are depthwise.
        norm_cfg (dict): Config of the norms.
    """

    def __init__(self, depth: int, channels: int, num_blocks: int,
                 mobile: bool, norm_cfg: ConfigType):
        super().__init__()

        def blocks():
            return residuals(channels, channels, num_blocks, mobile, norm_cfg)

        self.skip = blocks()
        self.down = blocks()
        self.inner = (blocks() if depth == 1 else PreActHourglass(
            depth - 1, channels, num_blocks, mobile, norm_cfg))
        self.up = blocks()

    def forward(self, x: Tensor) -> Tensor:
        """Features in the shape of the input."""
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(low, scale_factor=2.)


def residuals(in_channels: int, out_channels: int, num_blocks: int,
              mobile: bool, norm_cfg: ConfigType) -> Sequential:
    """Bottlenecks in a row, of which the first changes the channels."""
    return Sequential(*(
        PreActBottleneck(in_channels if index == 0 else out_channels,
                         out_channels, mobile, norm_cfg)
        for index in range(num_blocks)))


@MODELS.register_module()
class PreActHourglassNet(BaseBackbone):
    """Stacked hourglass of pre-activation bottlenecks, standard or mobile.

    The network of fast pose distillation: each stack predicts heatmaps, which
    are fed back into the next one. With ``mobile``, the 3×3 convolutions of
    all bottlenecks are depthwise. Newell et al., `Stacked Hourglass Networks
    <https://arxiv.org/abs/1603.06937>`_; Zhang et al., `Fast Human Pose
    Estimation <https://arxiv.org/abs/1811.05419>`_.

    The convolutions that predict are in here, as in MMPose's ``CPM``, so the
    head has none of its own:

    .. code-block:: python

        backbone=dict(
            type='PreActHourglassNet', num_stacks=2, num_blocks=1,
            mobile=True),
        head=dict(
            type='CPMHead', in_channels=16, out_channels=16, num_stages=2,
            final_layer=None, loss=..., decoder=codec)

    Args:
        num_stacks (int): Number of hourglasses.
        num_blocks (int): Bottlenecks at each place of an hourglass.
        num_feats (int): Channels of the bottlenecks' 3×3 convolutions;
            features have twice as many. Defaults to 128.
        mobile (bool): Whether the 3×3 convolutions of the bottlenecks are
            depthwise. Defaults to ``False``.
        out_channels (int): Number of keypoints. Defaults to 16.
        stem_channels (int): Channels of the first convolution. Defaults to 64.
        downsample_times (int): How often an hourglass halves the resolution.
            Defaults to 4.
        norm_cfg (dict, optional): Config of the norms. Defaults to ``None``:
            ``dict(type='BN')``.
        init_cfg (dict, optional): As in MMEngine. Defaults to ``None``:
            PyTorch's initialization, as in the source.

    Raises:
        ValueError: If a number is not positive.

    Example:
        >>> import torch
        >>> net = PreActHourglassNet(num_stacks=2, num_blocks=1, mobile=True)
        >>> sum(x.numel() for x in net.parameters())
        2305504
        >>> [list(x.shape) for x in net(torch.rand(2, 3, 64, 64))]
        [[2, 16, 16, 16], [2, 16, 16, 16]]
    """

    def __init__(self,
                 num_stacks: int,
                 num_blocks: int,
                 num_feats: int = 128,
                 mobile: bool = False,
                 out_channels: int = 16,
                 stem_channels: int = 64,
                 downsample_times: int = 4,
                 norm_cfg: OptConfigType = None,
                 init_cfg: OptMultiConfig = None):
        super().__init__(init_cfg)
        for name, value in (('num_stacks', num_stacks),
                            ('num_blocks', num_blocks),
                            ('num_feats', num_feats),
                            ('out_channels', out_channels),
                            ('stem_channels', stem_channels),
                            ('downsample_times', downsample_times)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, but it is {value}')
        norm_cfg = norm_cfg or dict(type='BN')
        self.num_stacks = num_stacks
        # of the input: 4 by the stem, the rest by the hourglass
        self.stride = 2**(2 + downsample_times)
        channels = 2 * num_feats

        self.stem = Sequential(
            ConvModule(3, stem_channels, 7, stride=2, padding=3, bias=True,
                       norm_cfg=norm_cfg),
            *residuals(stem_channels, 2 * stem_channels, 1, mobile, norm_cfg),
            nn.MaxPool2d(2),
            *residuals(2 * stem_channels, 4 * stem_channels, 1, mobile,
                       norm_cfg),
            *residuals(4 * stem_channels, channels, 1, mobile, norm_cfg))
        stacks, fed_back = range(num_stacks), range(num_stacks - 1)
        self.hourglasses = ModuleList(
            PreActHourglass(downsample_times, channels, num_blocks, mobile,
                            norm_cfg) for _ in stacks)
        self.features = ModuleList(
            Sequential(
                *residuals(channels, channels, num_blocks, mobile, norm_cfg),
                ConvModule(channels, channels, 1, bias=True,
                           norm_cfg=norm_cfg)) for _ in stacks)
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
        """Predict.

        Args:
            x (Tensor): Images in shape [B, 3, H, W]; H and W are multiples of
                4 · 2^downsample_times.

        Returns:
            list[Tensor]: Heatmaps of each stack, in shape [B, K, H/4, W/4].

        Raises:
            ValueError: If the size does not fit.
        """
        height, width = x.shape[2:]
        if height % self.stride or width % self.stride:
            raise ValueError(
                f'images must have a width and a height divisible by '
                f'{self.stride}, but they are {width} × {height}: change '
                'input_size of the codec, or downsample_times')
        x = self.stem(x)
        heatmaps = []
        for stack in range(self.num_stacks):
            features = self.features[stack](self.hourglasses[stack](x))
            heatmaps.append(self.predictions[stack](features))
            if stack + 1 < self.num_stacks:
                x = (x + self.remap_features[stack](features)
                     + self.remap_predictions[stack](heatmaps[-1]))
        return heatmaps
