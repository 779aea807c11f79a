import difflib
from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule, initialize
from mmpose.registry import MODELS
from mmpose.utils.typing import OptMultiConfig
from torch import Tensor, nn

from ...common.errors import UserError
from ..pretrained import check_pretrained


@MODELS.register_module()
class TIMMBackbone(BaseModule):
    """Any backbone of timm that gives feature maps (``features_only``).

    It takes timm's checkpoints as they are, also those of whole classifiers:
    ``init_cfg=dict(type='Pretrained', checkpoint=...)``. Of the checkpoint of a pose
    estimator, ``prefix='backbone.'`` takes it. Needs timm:
    ``pip install "mmpose_wloss[timm]"``.

    Args:
        model_name (str): The model's name in timm.
        out_indices (Sequence[int]): Which feature maps to give, in ascending order. Of
            most convolutional networks 0 to 4 are those at strides 2, 4, 8, 16, 32; of
            those that begin at stride 4, as ConvNeXt and Swin, 0 to 3. Layers after the
            last one are left out.
        init_cfg (dict, optional): Where weights come from. By default they are random.
        **kwargs: As of ``timm.create_model``. ``pretrained=True`` lets timm download
            its own weights when the model is built.

    Raises:
        UserError: If timm is missing, has no such model, or the model gives no such
            feature maps.
    """

    def __init__(self, model_name: str, out_indices: Sequence[int] = (4, ),
                 init_cfg: OptMultiConfig = None, **kwargs: Any):
        super().__init__(init_cfg)
        try:
            import timm
        except ImportError as error:
            raise UserError('TIMMBackbone needs timm: pip install '
                            '"mmpose_wloss[timm]"') from error
        indices = out_indices if isinstance(out_indices, (list, tuple)) else []
        if not indices or not all(
                isinstance(each, int) and each >= 0 for each in indices) or list(
                    indices) != sorted(set(indices)):
            raise UserError('TIMMBackbone: out_indices must be numbers of feature maps '
                            f'from 0 in ascending order, but it is {out_indices}')
        # others name what is downloaded
        if ':' not in model_name and not timm.is_model(model_name):
            near = difflib.get_close_matches(model_name.partition('.')[0],
                                             timm.list_models(), n=3)
            raise UserError(
                f'TIMMBackbone: timm {timm.__version__} has no model {model_name!r}'
                + (f'. Did you mean {", ".join(near)}?' if near else
                   '; timm.list_models() tells those that it has'))
        try:
            self.timm = timm.create_model(
                model_name, features_only=True, out_indices=tuple(indices), **kwargs)
        except (RuntimeError, LookupError, AssertionError, TypeError) as error:
            raise UserError(
                f'TIMMBackbone: timm {timm.__version__} does not make {model_name!r} '
                f'with out_indices={out_indices} and {kwargs}: {error}. Most models '
                'have feature maps 0 to 4, some 0 to 3') from error
        leave_out_unused(self.timm)
        self.channels_behind = getattr(self.timm, 'output_fmt', 'NCHW') == 'NHWC'
        names = list(self.timm.state_dict())
        # some networks are wrapped
        wrapper = 'model.' if all(name.startswith('model.') for name in names) else ''
        self._own_names = {
            plain(name.removeprefix(wrapper)): f'timm.{name}' for name in names}

    def own_name(self, name: str) -> str:
        """What a parameter of timm's classifier is called here, if it is here."""
        return self._own_names.get(plain(name), name)

    def init_weights(self) -> None:
        """Take weights from ``init_cfg``.

        Raises:
            UserError: If a checkpoint has nothing of this model.
        """
        if not self.init_cfg:
            return
        steps = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg]
        for step in steps:
            if step.get('checkpoint'):
                check_pretrained(step, self, 'init_cfg')
        # BaseModule's would go on to init_weights of timm's modules, which would draw
        # anew what pretrained=True has loaded
        initialize(self, self.init_cfg)

    # as torch and MMEngine load it, part of a whole network or not
    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any,
                              **kwargs: Any) -> None:
        for name in [each for each in state_dict if each.startswith(prefix)]:
            own = prefix + self.own_name(name.removeprefix(prefix))
            if own != name:
                state_dict[own] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of images in shape [B, 3, H, W], from high resolution to low.

        Returns:
            tuple[Tensor]: Each in shape [B, C, H / stride, W / stride].
        """
        return tuple(each.permute(0, 3, 1, 2) if self.channels_behind else each
                     for each in self.timm(x))


def leave_out_unused(features: nn.Module) -> None:
    """Leave out blocks after the last feature map, as timm does for most networks.

    Of EfficientNet and MobileNetV3 it computes them and gives nothing of them.
    """
    stages = getattr(features, '_stage_out_idx', None)
    if stages and features.feature_hooks is None:
        features.blocks = features.blocks[:max(stages)]


def plain(name: str) -> str:
    """A name as in networks whose containers timm has flattened or has not."""
    return name.replace('.', '_')
