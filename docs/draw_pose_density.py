"""Draw docs/images/pose_density_weights_lsp.png and print the table beside it.

Weights of 1,500 poses of LSP with the pose's own kernel in its density, left
out, and tempered.
"""

from pathlib import Path

from mmpose_wloss.pose_density import PoseDensity

import numpy as np
from matplotlib.figure import Figure
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / 'docs' / 'images' / 'pose_density_weights_lsp.png'
BANDWIDTHS = (0.05, 0.2, 0.6)
KINDS = {
    'with itself (the original code)': {},
    'left out': dict(leave_one_out=True),
    'left out, tempered': dict(leave_one_out=True, alpha=0.5, clip=(0.1, 10.),
                               min_ess=0.5, mean_one=True),
}


def main() -> None:
    with np.load(ROOT / 'tests' / 'data' / 'density_lsp.npz') as data:
        poses = data['poses'].reshape(-1, 14, 2)
    visible = np.ones(poses.shape[:2])
    figure = Figure(figsize=(9, 3.4), layout='constrained')
    rows = []
    for axes, bandwidth in zip(figure.subplots(1, 3, sharey=True), BANDWIDTHS,
                               strict=True):
        row = [bandwidth]
        for name, options in KINDS.items():
            density = PoseDensity('source', normalize='none',
                                  bandwidth=bandwidth, **options)
            density.fit(poses, visible)
            weights = np.sort(density.weights)
            axes.plot(np.linspace(0, 1, len(weights)), weights, label=name)
            row.append(f'{weights[0]:.3g} … {weights[-1]:.3g}; '
                       f'{density.effective_sample_size:.3f}')
        rows.append(row)
        axes.set(title=f'bandwidth {bandwidth}', yscale='log',
                 ylim=(1e-3, 1e3), xlabel='share of the poses')
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel('weight')
    figure.axes[0].legend(fontsize=8)
    figure.savefig(PICTURE, dpi=120)
    print(tabulate(rows, ['bandwidth', *KINDS], tablefmt='github'))


if __name__ == '__main__':
    main()
