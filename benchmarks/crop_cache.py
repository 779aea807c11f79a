"""What a crop cache brings: samples a second, how like they are, how long it takes.

The stock pipeline beside crops, and beside crops whose targets are drawn on the device
(``DeviceTargets``), in alternating rounds of one run and one process: of people in
COCO's files at 256 x 192, of small images at 96 x 96, and of people four times as
large as the input, labeled and unlabeled. Then
a loader with one worker beside one with two, the pixels of inputs beside those without
a cache, and the time to make a store of many people, from copies of the same files.

A ratio is the median over rounds of samples a second over stock, with its quartiles.
"""

import argparse
import copy
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mmpose_wloss
from mmpose_wloss.datasets import LSPDataset, quick_collate
from mmpose_wloss.datasets.datasets.unlabeled import instances_of

import cv2
import numpy as np
import torch
from json_rows import write_rows
from loss_overhead import measure
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from semi_step import ratios, text
from tabulate import tabulate
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'crop_cache.json'
ANN_FILE = 'annotations/person_keypoints_train2017.json'
CONFIG = ('mmpose::body_2d_keypoint/topdown_heatmap/coco/'
          'td-hm_res50_8xb64-210e_coco-256x192.py')


def config_of(config: str) -> Config:
    return Config.fromstring(f'_base_ = {config!r}\n', '.py')


def stock_pipeline(size: tuple[int, int]) -> list[dict]:
    """The stock pipeline of a training, for an input of some size."""
    pipeline = copy.deepcopy(config_of(CONFIG).train_pipeline)
    for step in pipeline:
        if step.type == 'TopdownAffine':
            step.input_size = size
        if step.type == 'GenerateTarget':
            step.encoder.update(input_size=size, heatmap_size=tuple(
                side // 4 for side in size))
    return pipeline


class Case:
    """People in files, read by the stock pipeline and from crops."""

    def __init__(self, name: str, size: tuple[int, int], data: dict, folder: str,
                 cache: str):
        self.name = name
        stock = stock_pipeline(size)
        drawn = [dict(step, type='DeviceTargets') if step['type'] == 'GenerateTarget'
                 else step for step in stock]
        easy = [step for step in stock if step['type'] not in (
            'RandomHalfBody', 'GenerateTarget')]
        labeled = dict(type='CocoDataset', **data)
        cached = dict(cache=cache, folder=folder)
        builds = dict(
            labeled={
                'stock': dict(labeled, pipeline=stock),
                'crops': dict(type='CropCache', **cached,
                              dataset=dict(labeled, pipeline=stock)),
                'crops, DeviceTargets': dict(type='CropCache', **cached,
                                             dataset=dict(labeled, pipeline=drawn)),
            }, unlabeled={
                'stock': dict(labeled, pipeline=easy),
                'crops': dict(
                    type='UnlabeledPoseDataset', **data, cache=cached, pipeline=[
                        *easy[:-1], dict(type='PackSemiSupervisedPoseInputs')]),
            })
        self.datasets = {
            (part, kind): DATASETS.build(copy.deepcopy(config))
            for part, kinds in builds.items() for kind, config in kinds.items()}


def reader(dataset: BaseDataset, samples: int) -> Callable[[], None]:
    """Reads some samples, others each time."""
    state = dict(next=0)

    def read() -> None:
        for _ in range(samples):
            dataset[state['next'] % len(dataset)]
            state['next'] += 7

    return read


def throughput(case: Case, rounds: int, samples: int) -> list[dict]:
    """Samples a second of one process, and over stock."""
    seconds = measure(
        {key: reader(dataset, samples) for key, dataset in case.datasets.items()},
        rounds, torch.device('cpu'), case.name)
    return [dict(
        case=case.name, part=part, data=kind,
        samples_a_second=samples / statistics.median(values),
        over_stock=ratios(seconds[part, 'stock'], values))
        for (part, kind), values in seconds.items()]


def loader_seconds(dataset: BaseDataset, collate: Callable, workers: int,
                   batches: int) -> float:
    """Seconds that a loader with workers takes for batches of 32."""
    indices = np.resize(np.random.permutation(len(dataset)), 32 * batches)
    loader = DataLoader(dataset, 32, sampler=indices.tolist(), num_workers=workers,
                        collate_fn=collate, worker_init_fn=one_thread)
    iterator = iter(loader)
    for _ in range(4):
        next(iterator)
    start = time.perf_counter()
    for _ in iterator:
        pass
    return (time.perf_counter() - start) / (batches - 4)


def one_thread(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def workers(case: Case, rounds: int, batches: int) -> list[dict]:
    """How much sooner two workers read than one."""
    rows = []
    for kind, collate in (
            ('stock', pseudo_collate), ('crops', pseudo_collate),
            ('crops', quick_collate), ('crops, DeviceTargets', quick_collate)):
        dataset = case.datasets['labeled', kind]
        seconds = {count: [] for count in (1, 2)}
        for _ in range(rounds):
            for count, values in seconds.items():
                values.append(loader_seconds(dataset, collate, count, batches))
        rows.append(dict(
            case=case.name, data=kind, collate=collate.__name__,
            samples_a_second=[32 / statistics.median(values)
                              for values in seconds.values()],
            two_over_one=ratios(seconds[1], seconds[2])))
    return rows


def fidelity(case: Case, draws: int) -> dict:
    """Differences of pixels to inputs without a cache, in levels of 255."""
    stock, crops = (case.datasets['labeled', kind] for kind in ('stock', 'crops'))
    counts = np.zeros(256, np.int64)
    for index in range(draws):
        samples = []
        for dataset in (stock, crops):
            np.random.seed(index)
            samples.append(dataset[index % len(dataset)]['inputs'].int())
        counts += np.bincount((samples[0] - samples[1]).abs().flatten().numpy(),
                              minlength=256)
    shares = counts.cumsum() / counts.sum()
    store = crops.pipeline.transforms[0].store
    return dict(
        case=case.name, draws=draws,
        mean=float(counts @ np.arange(256) / counts.sum()),
        quantile_999=int(np.searchsorted(shares, 0.999)),
        equal=float(shares[0]),
        crops_as_in_image=float((store.entries['scale'] == 1).mean()),
        gigabytes=store.pixels.size / 1e9, people=len(store.entries))


def building(data: dict, size: tuple[int, int], people: int) -> dict:
    """Seconds to make a store of many people, from copies of the files."""
    content = json.loads(Path(data['ann_file']).read_text())
    images, annotations = [], []
    with tempfile.TemporaryDirectory(dir=ROOT / 'work_dirs') as folder:
        while len(annotations) < people:
            number = len(images)
            copies = {}
            for image, annotation in instances_of(content):
                if annotation.get('num_keypoints', 0) == 0 or annotation['iscrowd']:
                    continue
                if image['id'] not in copies:
                    number += 1
                    name = f'{number}_{image["file_name"]}'
                    os.symlink(Path(data['data_prefix']['img'], image['file_name']
                                    ).resolve(), Path(folder, name))
                    copies[image['id']] = dict(image, id=number, file_name=name)
                annotations.append(dict(annotation, id=len(annotations) + 1,
                                        image_id=copies[image['id']]['id']))
            images += copies.values()
        file = Path(folder, 'annotations.json')
        file.write_text(json.dumps(dict(
            content, images=images, annotations=annotations[:people])))
        dataset = DATASETS.build(dict(
            data, type='CocoDataset', ann_file=str(file),
            data_prefix=dict(img=folder), pipeline=stock_pipeline(size)))
        start = time.perf_counter()
        mmpose_wloss.datasets.cache_crops(dataset, 'disk', folder=Path(folder, 'crops'))
        seconds = time.perf_counter() - start
        store = dataset.pipeline.transforms[0].store
        return dict(people=len(dataset), images=len(images), seconds=seconds,
                    gigabytes=store.pixels.size / 1e9,
                    processes=len(os.sched_getaffinity(0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--coco', default='data/coco', help='folder of COCO')
    parser.add_argument('--small', nargs=2, default=['', ''],
                        metavar=('FILE', 'FOLDER'), help=
                        'annotations of 14 joints, as of LSP-extended, and images')
    parser.add_argument('--rounds', type=int, default=12)
    parser.add_argument('--samples', type=int, default=100, help='of a round')
    parser.add_argument('--batches', type=int, default=40, help='of a loader, of 32')
    parser.add_argument('--people', type=int, default=10000, help='of a store to make')
    parser.add_argument('--cache', default='ram', choices=['ram', 'disk'])
    args = parser.parse_args()
    init_default_scope('mmpose')
    MMLogger.get_current_instance().setLevel('WARNING')
    one_thread(0)
    folder = str(ROOT / 'work_dirs' / 'crops')

    sets = {}
    if Path(args.coco, ANN_FILE).exists():
        sets['COCO, 256 x 192'] = (192, 256), dict(
            ann_file=str(Path(args.coco, ANN_FILE)),
            data_prefix=dict(img=str(Path(args.coco, 'train2017'))))
    else:
        print(f'{args.coco} has no COCO: its rows are left out')
    if Path(args.small[0]).is_file():
        sets['small images, 96 x 96'] = (96, 96), dict(
            ann_file=args.small[0], data_prefix=dict(img=args.small[1]),
            metainfo=LSPDataset.METAINFO)
    else:
        print('--small names no file: its rows are left out')
    large = ROOT / 'data' / 'annypose_256'
    if large.is_dir():
        sets['large people, 64 x 64'] = (64, 64), dict(
            ann_file=str(large / 'annotations' / 'person_keypoints_train.json'),
            data_prefix=dict(img=str(large / 'train')))
    else:
        print('render dataset --size 256 --out data/annypose_256 gives large people')
    cases = [Case(name, size, data, folder, args.cache)
             for name, (size, data) in sets.items()]

    results = dict(fidelity=[fidelity(case, 1000) for case in cases])
    print(tabulate(results['fidelity'], 'keys', tablefmt='github', floatfmt='.4g'),
          '\n')
    results['throughput'] = [row for case in cases
                             for row in throughput(case, args.rounds, args.samples)]
    print(tabulate([[*(row[key] for key in ('case', 'part', 'data')),
                     f'{row["samples_a_second"]:.0f}', text(row['over_stock'])]
                    for row in results['throughput']],
                   ['files', 'part', 'data', 'samples/s', 'over stock'],
                   tablefmt='github'), '\n')
    results['workers'] = [row for case in cases
                          for row in workers(case, 3, args.batches)]
    print(tabulate([[row['case'], row['data'], row['collate'],
                     *(f'{value:.0f}' for value in row['samples_a_second']),
                     text(row['two_over_one'])] for row in results['workers']],
                   ['files', 'data', 'collate', 'one worker, samples/s', 'two',
                    'two over one'],
                   tablefmt='github'), '\n')
    if sets and args.people:
        size, data = next(iter(sets.values()))
        results['building'] = building(data, size, args.people)
        print(tabulate([results['building']], 'keys', tablefmt='github'))
    write_rows(RESULTS, dict(
        format=1, rounds=args.rounds, samples=args.samples, cache=args.cache, **results,
        versions=dict(torch=torch.__version__, opencv=cv2.__version__,
                      numpy=np.__version__, python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
