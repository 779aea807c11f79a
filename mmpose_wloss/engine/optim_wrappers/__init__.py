from .bfloat16_optim_wrapper import Bfloat16OptimWrapper
from .jacobian_optim_wrapper import (
    Bfloat16JacobianOptimWrapper,
    JacobianOptimWrapper,
)
from .layer_decay import WrappedLayerDecayOptimWrapperConstructor

__all__ = [
    'Bfloat16JacobianOptimWrapper', 'Bfloat16OptimWrapper', 'JacobianOptimWrapper',
    'WrappedLayerDecayOptimWrapperConstructor'
]
