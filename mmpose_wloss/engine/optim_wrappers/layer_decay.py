import re
from types import SimpleNamespace

from mmpose.engine.optim_wrappers import LayerDecayOptimWrapperConstructor
from mmpose.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

# of a network in PoseCons, PoseDual, PoseTriple or FastPoseDistiller
PREFIX = re.compile(r'^(networks\.\w+|student)\.')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WrappedLayerDecayOptimWrapperConstructor(LayerDecayOptimWrapperConstructor):
    """Learning rates that fall with the depth of a layer, in networks within a model.

    The stock constructor, which MMPose's ViTPose has, knows a layer by its name:
    ``backbone.layers.3``. In a model that wraps networks, it would give all layers the
    rate of the head. This one looks behind ``networks.first.`` and ``student.``.
    """

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Add the groups of a model's parameters."""
        super().add_params(params, SimpleNamespace(named_parameters=lambda: (
            (PREFIX.sub('', name), parameter)
            for name, parameter in module.named_parameters())), **kwargs)
