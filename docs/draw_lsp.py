"""Draw docs/images/lsp_poses.png: poses of LSP and of LSP-extended.

python docs/draw_lsp.py --data-root data/lsp
"""

import argparse
from pathlib import Path

from mmpose_wloss.datasets import LSPDataset
from mmpose_wloss.datasets.datasets.lsp_joints import read_joints

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FILES = {'LSP': 'lsp_dataset_original/joints.mat',
         'LSP-extended': 'lspet_dataset/joints.mat'}
COLUMNS = 10
SEED = 3


def draw_pose(axes: Axes, positions: np.ndarray, visibility: np.ndarray,
              metainfo: dict) -> None:
    """Bones between annotated joints; occluded joints are hollow."""
    for (start, end), color in zip(metainfo['skeleton_links'],
                                   metainfo['skeleton_link_colors'] / 255,
                                   strict=True):
        if visibility[start] and visibility[end]:
            axes.plot(*positions[[start, end]].T, color=color, linewidth=2)
    for code, face in ((2, 'black'), (1, 'white')):
        axes.scatter(*positions[visibility == code].T, s=9, zorder=3,
                     facecolor=face, edgecolor='black', linewidth=0.8)
    axes.margins(0.08)
    axes.set_aspect('equal')
    axes.invert_yaxis()
    axes.axis('off')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data-root', type=Path, default=Path('data/lsp'))
    root = parser.parse_args().data_root
    metainfo = LSPDataset(ann_file=FILES['LSP'], lazy_init=True).metainfo
    rng = np.random.default_rng(SEED)
    figure = Figure(figsize=(9, 3), layout='constrained')
    for part, (name, file) in zip(figure.subfigures(2, 1), FILES.items(),
                                  strict=True):
        poses = read_joints(str(root / file), name == 'LSP-extended')
        chosen = rng.choice(len(poses[0]), COLUMNS, replace=False)
        for axes, index in zip(part.subplots(1, COLUMNS), chosen, strict=True):
            draw_pose(axes, poses[0][index], poses[1][index], metainfo)
        part.suptitle(name, x=0.01, ha='left', fontsize='small')
    path = Path(__file__).parent / 'images' / 'lsp_poses.png'
    figure.savefig(path, dpi=110)
    print(path)


if __name__ == '__main__':
    main()
