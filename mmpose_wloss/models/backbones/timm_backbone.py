from typing import Any

from mmengine.model import BaseModule, initialize
from mmpose.registry import MODELS
from mmpose.utils.typing import OptMultiConfig
from torch import Tensor

from ...common.errors import UserError


@MODELS.register_module()
class TIMMBackbone(BaseModule):
    """Any backbone of timm that gives feature maps (``features_only``).

    Its parameters keep timm's names, so a checkpoint of timm's fits as it is:
    ``init_cfg=dict(type='Pretrained', checkpoint=...)``. Needs timm:
    ``pip install mmpose_wloss[timm]``.

    Args:
        model_name (str): The model's name in timm.
        out_indices (Sequence[int]): Which feature maps to give, each at twice the
            stride of the one before; of most models those at strides 2, 4, 8, 16, 32.
        init_cfg (dict, optional): Where weights come from. By default they are random.
        **kwargs: As of ``timm.create_model``. ``pretrained=True`` lets timm download
            its own weights when the model is built.

    Raises:
        UserError: If timm is missing, has no such model, or the model gives no such
            feature maps.
    """

    def __init__(self, model_name: str, out_indices: tuple[int, ...] = (4, ),
                 init_cfg: OptMultiConfig = None, **kwargs: Any):
        super().__init__(init_cfg)
        try:
            import timm
        except ImportError as error:
            raise UserError('TIMMBackbone needs timm: pip install '
                            'mmpose_wloss[timm]') from error
        try:
            features = timm.create_model(
                model_name, features_only=True, out_indices=tuple(out_indices),
                **kwargs)
        except (RuntimeError, IndexError, AssertionError, TypeError) as error:
            raise UserError(f'TIMMBackbone: timm {timm.__version__} does not make '
                            f'{model_name!r} with out_indices={out_indices} and '
                            f'{kwargs}: {error}') from error
        self.timm = features

    def init_weights(self) -> None:
        """Take weights from ``init_cfg``; their names are timm's."""
        if self.init_cfg:
            initialize(self.timm, self.init_cfg)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps in the shape [B, C, H, W], from high resolution to low."""
        return tuple(self.timm(x))
