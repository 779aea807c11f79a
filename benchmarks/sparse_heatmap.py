"""Which losses find one small joint in a large image.

A heatmap of 256 × 256 pixels, one joint of a sigma of 1.5 pixels: one pixel in 2,000
is of the joint. Images are drawn: a ring among discs, squares and crosses as large. A
small network learns with each loss, without weights from elsewhere; figures are of
images that it has not seen.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import mmpose_wloss

import numpy as np
import torch
from json_rows import RESULTS, write_rows
from mmengine.registry import init_default_scope
from mmpose.codecs import MSRAHeatmap
from mmpose.registry import MODELS
from tabulate import tabulate
from torch import Tensor, nn
from tqdm import tqdm

SIZE, SIGMA, RADIUS = 256, 1.5, 4
DISTRACTORS = 15
STEPS, EVERY, BATCH, HELD_OUT = 240, 40, 4, 24
LEARNING_RATE = 1e-3
SETTING = dict(size=SIZE, sigma=SIGMA, distractors=DISTRACTORS, steps=STEPS,
               batch=BATCH, held_out=HELD_OUT, learning_rate=LEARNING_RATE)
# a peak counts within so many pixels, and a loss has learned where so many count
TOLERANCE, SHARE = 3, 0.9
LOSSES = {
    'MSE (stock)': dict(type='KeypointMSELoss'),
    **{f'focal γ={gamma:g} δ={delta:g}': dict(
        type='FocusMSELoss', gamma=gamma, delta=delta)
       for gamma, delta in ((1, 1), (2, 1), (8, 1), (1, 0.1), (2, 0.1), (1, 0.001))},
    'WAHR': dict(type='WeightAdaptiveMSELoss'),
    'HWL, power': dict(type='HeatmapWeightingMSELoss', function='power'),
    'AdaptiveWing': dict(type='AdaptiveWingLoss'),
    'Rank & Sort': dict(type='RankSortLoss'),
    # as sharp as the target: a deviation of 1.5 pixels
    'expected OKS': dict(type='ExpectedOKSLoss', sigmas=[SIGMA / 2 / SIZE], area=1.),
}


def draw(random: np.random.Generator) -> tuple[Tensor, np.ndarray]:
    """An image in shape [1, H, W] and the ring's center."""
    image = 0.5 + 0.1 * random.standard_normal((SIZE, SIZE))
    grid = np.arange(-RADIUS, RADIUS + 1)
    distance = np.hypot(grid, grid[:, None])
    shapes = [distance <= RADIUS, np.maximum(*np.abs(np.meshgrid(grid, grid))) < 4,
              np.minimum(*np.abs(np.meshgrid(grid, grid))) < 2]
    ring = np.abs(distance - RADIUS + 1) < 1
    centers = random.integers(8, SIZE - 8, (DISTRACTORS + 1, 2))
    # the ring is the last and hides the others
    for shape, (x, y) in zip([*random.choice(shapes, DISTRACTORS), ring], centers,
                             strict=True):
        patch = image[y - RADIUS:y + RADIUS + 1, x - RADIUS:x + RADIUS + 1]
        patch[shape] = random.uniform(0, 0.25) + 0.75 * random.integers(2)
    return torch.from_numpy(image[None]).float(), centers[-1]


def batch(random: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, their heatmaps, and centers in shape [B, 2]."""
    codec = MSRAHeatmap((SIZE, SIZE), (SIZE, SIZE), SIGMA)
    images, centers = zip(*(draw(random) for _ in range(count)), strict=True)
    heatmaps = [codec.encode(center[None, None].astype(float), np.ones((1, 1)))[
        'heatmaps'] for center in centers]
    return (torch.stack(images), torch.from_numpy(np.stack(heatmaps)),
            torch.from_numpy(np.stack(centers)))


def network() -> nn.Module:
    """From a quarter of the image's side to its whole, without normalization."""
    # as the last layer of MMPose's heads starts
    last = nn.ConvTranspose2d(8, 1, 4, 2, 1)
    nn.init.normal_(last.weight, std=0.001)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Conv2d(1, 16, 7, 4, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), last)


@torch.no_grad()
def found(model: nn.Module, images: Tensor, centers: Tensor) -> float:
    """Share of the images whose peak is at the ring."""
    peaks = torch.cat([model(each).flatten(1).argmax(1)
                       for each in images.split(16)])
    places = torch.stack([peaks % SIZE, peaks // SIZE], 1)
    distances = (places - centers).double().norm(dim=1)
    return (distances <= TOLERANCE).double().mean().item()


def train(config: dict, seed: int) -> dict:
    """Train with a loss; the share that is found by step, and the seconds."""
    torch.manual_seed(seed)
    model, loss = network(), MODELS.build(config)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    random = np.random.default_rng(seed)
    images, _, centers = batch(np.random.default_rng(1000 + seed), HELD_OUT)
    curve, start = {}, time.process_time()
    for step in range(1, STEPS + 1):
        data, target, _ = batch(random, BATCH)
        optimizer.zero_grad()
        loss(model.train()(data), target, torch.ones(BATCH, 1)).backward()
        optimizer.step()
        if step % EVERY == 0:
            curve[step] = found(model.eval(), images, centers)
    return dict(curve=curve, seconds=time.process_time() - start)


def table(rows: list[dict]) -> str:
    """A line a loss, over seeds, as Markdown."""
    lines = []
    for name in dict.fromkeys(row['loss'] for row in rows):
        curves = [row['curve'] for row in rows if row['loss'] == name]
        steps = [next((int(step) for step, share in curve.items()
                       if share >= SHARE), None) for curve in curves]
        reached = [step for step in steps if step is not None]
        last = [[*curve.values()][-1] for curve in curves]
        spread = f' ± {statistics.stdev(last):.2f}' if len(last) > 1 else ''
        lines.append([
            name, f'{len(reached)} of {len(steps)}',
            f'{statistics.mean(reached):.0f}' if reached else '-',
            f'{statistics.mean(last):.2f}{spread}'])
    return tabulate(lines, ['loss', f'seeds that find {SHARE:.0%}', 'after steps',
                            f'found after {STEPS} steps'],
                    tablefmt='github', disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--only', default='', help="part of the losses' names")
    parser.add_argument('--out', type=Path, default=RESULTS / 'sparse_heatmap.json',
                        help='JSON file of the rows; those that it has are kept')
    args = parser.parse_args()
    init_default_scope('mmpose')
    rows = []
    if args.out.exists():
        before = json.loads(args.out.read_text())
        rows = before['rows'] if before['setting'] == SETTING else []
    there = {(row['loss'], row['seed']) for row in rows}
    for seed, name in tqdm([
            (seed, name) for seed in range(args.seeds) for name in LOSSES
            if args.only in name and (name, seed) not in there]):
        rows.append(dict(loss=name, seed=seed, **train(LOSSES[name], seed)))
        rows.sort(key=lambda row: ([*LOSSES].index(row['loss']), row['seed']))
        write_rows(args.out, dict(
            format=1, setting=SETTING, rows=rows, versions=dict(
                torch=torch.__version__, python=platform.python_version(),
                mmpose_wloss=mmpose_wloss.__version__)))
    print(table(rows))


if __name__ == '__main__':
    main()
