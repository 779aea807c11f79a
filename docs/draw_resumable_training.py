"""Draw docs/images/resumable_training.png: a training interrupted and resumed.

Trains the demo's network on some of the embedded data set (render it first), with
MMPose's own tool and with ours, in one go and in two.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from mmpose_wloss.visualization import draw_curves

import mmpose
import torch

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs' / 'demo' / 'resnet18_fmse_annypose.py'
STOCK = Path(mmpose.__file__).parent / '.mim' / 'tools' / 'train.py'
EPOCHS, INTERRUPTED = 6, 3
OPTIONS = [
    'train_dataloader.dataset.indices=320', 'train_cfg.val_interval=100',
    'default_hooks.checkpoint.max_keep_ckpts=-1'
]


def train(tool: str, work_dir: Path, epochs: int) -> None:
    subprocess.run(
        [sys.executable, tool, CONFIG, '--work-dir', work_dir, '--resume',
         '--cfg-options', f'train_cfg.max_epochs={epochs}', *OPTIONS],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def weights(work_dir: Path, epoch: int) -> torch.Tensor:
    checkpoint = torch.load(work_dir / f'epoch_{epoch}.pth')
    return torch.cat([value.double().flatten()
                      for value in checkpoint['state_dict'].values()])


def main() -> None:
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, tool in (("MMPose's tools/train.py", STOCK),
                           ('ours, with the hook', ROOT / 'tools' / 'train.py')):
            whole, parts = (Path(folder, f'{len(curves)}_{kind}')
                            for kind in ('whole', 'parts'))
            train(tool, whole, EPOCHS)
            train(tool, parts, INTERRUPTED)
            train(tool, parts, EPOCHS)
            start = weights(whole, INTERRUPTED)
            curves[name] = [{
                epoch: ((weights(parts, epoch) - weights(whole, epoch)).norm() /
                        (weights(whole, epoch) - start).norm().clamp(min=1e-12)
                        ).item()
                for epoch in range(INTERRUPTED, EPOCHS + 1)
            }]
    path = ROOT / 'docs' / 'images' / 'resumable_training.png'
    draw_curves(curves, str(path), f'Interrupted after epoch {INTERRUPTED}',
                'difference over way gone since')
    print(curves, path)


if __name__ == '__main__':
    main()
