"""How long densities of poses take, beside scikit-learn's.

Compares ``log_kernel_sums`` and ``sklearn.neighbors.KernelDensity`` in one run:
on 12,000 poses, those of LSP where ``--lsp`` names a folder with its two files
of joints and generated ones elsewhere. Then times densities of many more, and
the whole of ``PoseDensity.fit`` with its defaults, which adds mirror images.
"""

import argparse
import platform
import resource
import time
from pathlib import Path

from mmpose_wloss.pose_density import (
    PoseDensity,
    log_kernel_sums,
    scott_bandwidth,
)
from mmpose_wloss.pose_density.kernel_density import log_kernel_norm

import numpy as np
import torch
from json_rows import results_file, write_rows
from scipy.io import loadmat
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from tabulate import tabulate


def lsp_poses(folder: str) -> np.ndarray:
    """The joints of LSP and LSP-extended over their boxes, [12000, 28]."""
    first = loadmat(Path(folder, 'lsp_joints.mat'))['joints']
    extended = loadmat(Path(folder, 'lspet_joints.mat'))['joints']
    joints = np.concatenate([first[:2].transpose(2, 1, 0),
                             extended[:, :2].transpose(2, 0, 1)])
    low, high = joints.min(1), joints.max(1)
    side = (high - low).max(1)[:, None, None]
    return ((joints - low[:, None]) / side).reshape(len(joints), -1)


def generated_poses(count: int, seed: int = 0) -> np.ndarray:
    """Poses about a few common ones, with tails, [count, 28]."""
    draw = np.random.default_rng(seed)
    common = draw.normal(0, 0.3, (40, 28))
    spread = draw.gamma(2., 0.03, (count, 1))
    return (common[draw.integers(0, 40, count)] +
            spread * draw.normal(size=(count, 28)))


def places(poses: np.ndarray, components: int) -> np.ndarray:
    return PCA(components, svd_solver='full').fit_transform(poses)


def timed(function, repeats: int = 1) -> tuple[float, object]:
    """Best time of some, in seconds, and the result."""
    best, result = float('inf'), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def ours(points: np.ndarray, kernel: str, bandwidth: float, device: str
         ) -> np.ndarray:
    """Log density of each point, with its own kernel as scikit-learn has it."""
    sums = np.logaddexp(log_kernel_sums(
        points, bandwidth=bandwidth, kernel=kernel, device=device), 0)
    return sums - np.log(len(points)) - log_kernel_norm(
        kernel, points.shape[1], bandwidth)


def compare(points: np.ndarray, kernel: str, bandwidth: float, device: str
            ) -> dict:
    """Both on the same points, one after the other."""
    ours(points[:512], kernel, bandwidth, device)  # the first call's start
    seconds, density = timed(
        lambda: ours(points, kernel, bandwidth, device), 3)
    theirs, expected = timed(lambda: KernelDensity(
        kernel=kernel, bandwidth=bandwidth).fit(points).score_samples(points))
    return dict(what='densities', poses=len(points), kernel=kernel,
                bandwidth=round(bandwidth, 4), device=device,
                seconds=round(seconds, 3), sklearn_seconds=round(theirs, 2),
                ratio=round(theirs / seconds, 1),
                difference=float(np.max(np.abs(density - expected))),
                relative_difference=float(
                    np.max(np.abs(density - expected) / np.abs(expected))))


def measured(function) -> dict:
    """Seconds, the process's peak of memory, and what was added to it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, _ = timed(function)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return dict(seconds=round(seconds, 1), peak_mb=round(peak / 1024),
                added_mb=round((peak - before) / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--lsp', help='folder with lsp_joints.mat and '
                        'lspet_joints.mat; default: generated poses')
    parser.add_argument('--components', type=int, default=10)
    parser.add_argument('--many', type=int, default=150_000,
                        help='poses of the last row; 0 leaves it out')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--no-write', action='store_true',
                        help='write no results')
    args = parser.parse_args()

    poses = lsp_poses(args.lsp) if args.lsp else generated_poses(12_000)
    points = places(poses, args.components)
    rows = []
    for kernel in ('gaussian', 'exponential'):
        for bandwidth in (scott_bandwidth(points), 0.6):
            print(f'{kernel}, bandwidth {bandwidth:.3g}', flush=True)
            rows.append(compare(points, kernel, bandwidth, args.device))
    if args.many:
        generated = generated_poses(args.many)
        many = places(generated, args.components)
        bandwidth = scott_bandwidth(many)
        ours(many[:512], 'gaussian', 0.6, args.device)
        for kernel in ('gaussian', 'exponential'):
            rows.append(dict(
                what='densities', poses=args.many, kernel=kernel,
                bandwidth=round(bandwidth, 4), device=args.device, **measured(
                    lambda kernel=kernel: ours(many, kernel, bandwidth,
                                               args.device))))
        flip = np.arange(14).reshape(7, 2)[:, ::-1].ravel()
        keypoints = 100 * generated.reshape(-1, 14, 2)
        rows.append(dict(
            what='PoseDensity().fit', poses=args.many, kernel='exponential',
            device=args.device, **measured(lambda: PoseDensity().fit(
                keypoints, np.ones(keypoints.shape[:2]), flip_indices=flip,
                device=args.device))))
    names = list(dict.fromkeys(name for row in rows for name in row))
    print(tabulate([[row.get(name, '') for name in names] for row in rows],
                   names, tablefmt='github'))
    if not args.no_write:
        write_rows(results_file('pose_density', args.device), dict(
            poses='LSP and LSP-extended' if args.lsp else 'generated',
            threads=torch.get_num_threads(), torch=torch.__version__,
            python=platform.python_version(), rows=rows))


if __name__ == '__main__':
    main()
