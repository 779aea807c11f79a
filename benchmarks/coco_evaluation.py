"""How fast COCO's AP of keypoints is computed, by MMPose's metric and by ours.

The evaluation alone, the whole metric, and a validation of PoseDual, whose three
predictions are evaluated. The people are made up, or those of an annotation file,
again and again. Rounds go over both in turn; a ratio is the median over rounds of
stock over ours, with its quartiles. The figures of both must be equal. Where
``faster-coco-eval`` is installed, it takes part in the evaluation.
"""

import argparse
import contextlib
import copy
import importlib.util
import io
import json
import platform
import statistics
import tempfile
from pathlib import Path

import mmpose_wloss
from mmpose_wloss.evaluation.evaluators import NetworksEvaluator
from mmpose_wloss.evaluation.functional import VectorizedCOCOeval, read_annotations
from mmpose_wloss.evaluation.metrics import FastCocoMetric

import numpy as np
import torch
from json_rows import write_rows
from loss_overhead import CLOCKS, measure
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import CocoMetric
from mmpose.structures import PoseDataSample
from tabulate import tabulate
from xtcocotools.cocoeval import COCOeval

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'coco_evaluation.json'
META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))
BATCH = 64


def made_up(rng: np.random.Generator, people: int) -> dict:
    """Annotations of images with one person and more, four on average."""
    images, annotations = [], []
    while len(annotations) < people:
        images.append(dict(id=len(images) + 1, width=640, height=480))
        for _ in range(min(1 + rng.geometric(.35), 20)):
            corner, size = rng.uniform(0, 300, 2), rng.uniform(30, 250, 2)
            joints = np.column_stack([corner + rng.uniform(0, 1, (17, 2)) * size,
                                      rng.integers(0, 3, 17)]).round(1)
            annotations.append(dict(
                id=len(annotations) + 1, image_id=len(images), category_id=1,
                iscrowd=0, area=.6 * size.prod(), bbox=[*corner, *size],
                num_keypoints=int((joints[:, 2] > 0).sum()),
                keypoints=joints.ravel().tolist()))
    return dict(images=images, annotations=annotations,
                categories=[dict(id=1, name='person')])


def repeated(file: str, people: int) -> dict:
    """The images of an annotation file, as often as people are missing."""
    content = json.loads(Path(file).read_text())
    images, annotations = [], []
    while len(annotations) < people:
        numbers = {one['id']: len(images) + index
                   for index, one in enumerate(content['images'], 1)}
        images += [dict(one, id=numbers[one['id']]) for one in content['images']]
        annotations += [dict(one, id=len(annotations) + index,
                             image_id=numbers[one['image_id']])
                        for index, one in enumerate(content['annotations'], 1)]
    return dict(content, images=images, annotations=annotations)


def predicted(rng: np.random.Generator, content: dict) -> list[PoseDataSample]:
    """A prediction near to each person, as a top-down model of two networks."""
    samples = []
    for one in content['annotations']:
        x, y, width, height = one['bbox']
        joints = np.reshape(one['keypoints'], (1, -1, 3))[..., :2]
        if not joints.any():
            joints = rng.uniform((x, y), (x + width, y + height), joints.shape)
        sample = PoseDataSample(metainfo=dict(
            id=one['id'], img_id=one['image_id'], category_id=1,
            predicted_with='ensemble'))
        sample.gt_instances = InstanceData(
            bbox_scores=np.ones(1, np.float32),
            bbox_scales=np.float32([[1.25 * width, 1.25 * height]]))
        for name in ('first', 'second', 'ensemble'):
            offset = rng.normal(0, .03 * np.sqrt(width * height), joints.shape)
            sample.set_field(InstanceData(
                keypoints=(joints + offset).astype(np.float32),
                keypoint_scores=rng.uniform(.2, 1, joints.shape[:2]).astype(np.float32),
                bboxes=np.float32([[x, y, x + width, y + height]])),
                f'pred_instances_{name}')
        sample.pred_instances = sample.pred_instances_ensemble
        samples.append(sample)
    return samples


def functions(file: str, samples: list[PoseDataSample], results: str) -> dict:
    """What is timed, by part and by who computes it; each gives its figures."""
    annotations = read_annotations(file)
    with contextlib.redirect_stdout(io.StringIO()):
        found = copy.copy(annotations).loadRes(results)

    def evaluation(kind):
        def function():
            one = kind(annotations, found, 'keypoints', META['sigmas'], True)
            one.evaluate()
            one.accumulate()
            one.summarize()
            return one.stats
        return function

    def evaluator(build):
        def function():
            one = build()
            one.dataset_meta = copy.deepcopy(META)
            for start in range(0, len(samples), BATCH):
                one.process(samples[start:start + BATCH])
            return list(one.evaluate(len(samples)).values())
        return function

    parts = dict(evaluation=dict(stock=evaluation(COCOeval),
                                 ours=evaluation(VectorizedCOCOeval)))
    if importlib.util.find_spec('faster_coco_eval'):
        import faster_coco_eval

        others = faster_coco_eval.COCO(file)
        theirs = others.loadRes(results)
        parts['evaluation']['faster-coco-eval'] = evaluation(
            lambda _, __, kind, sigmas, area: faster_coco_eval.COCOeval_faster(
                others, theirs, kind, kpt_oks_sigmas=sigmas, use_area=area))
    kinds = dict(stock=CocoMetric, ours=FastCocoMetric)
    parts['metric'] = {
        name: evaluator(lambda kind=kind: Evaluator(kind(file)))
        for name, kind in kinds.items()}
    parts['validation of PoseDual'] = {
        name: evaluator(lambda kind=kind: NetworksEvaluator(
            dict(type=kind.__name__, ann_file=file)))
        for name, kind in kinds.items()}
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--people', type=int, default=10000)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--annotations', nargs='*', default=[],
                        help='files whose people are repeated, beside those made up')
    parser.add_argument('--clock', choices=CLOCKS, default='wall',
                        help='the time that passes, or that of this process alone, '
                        'which a busy machine hardly changes')
    args = parser.parse_args()
    init_default_scope('mmpose')
    rng = np.random.default_rng(0)
    rows, result = [], {}
    for source in (None, *args.annotations):
        name = Path(source).stem if source else 'made up'
        content = (repeated(source, args.people) if source else
                   made_up(rng, args.people))
        samples = predicted(rng, content)
        with tempfile.TemporaryDirectory() as folder:
            file = f'{folder}/annotations.json'
            Path(file).write_text(json.dumps(content))
            with contextlib.redirect_stdout(io.StringIO()):
                one = Evaluator(CocoMetric(file, outfile_prefix=f'{folder}/found'))
                one.dataset_meta = copy.deepcopy(META)
                one.process(samples)
                one.evaluate(len(samples))
            for part, kinds in functions(
                    file, samples, f'{folder}/found.keypoints.json').items():
                with contextlib.redirect_stdout(io.StringIO()):
                    figures = {kind: list(function())
                               for kind, function in kinds.items()}
                    seconds = measure(
                        kinds, args.rounds, torch.device('cpu'), f'{name}: {part}',
                        CLOCKS[args.clock])
                for kind in kinds:
                    ratios = [stock / other for stock, other in zip(
                        seconds['stock'], seconds[kind], strict=True)]
                    low, ratio, high = statistics.quantiles(ratios, n=4)
                    equal = figures[kind] == figures['stock']
                    if kind == 'ours' and not equal:
                        raise SystemExit(f'{name}, {part}: figures differ: {figures}')
                    row = dict(people=name, part=part, kind=kind,
                               seconds=statistics.median(seconds[kind]), ratio=ratio,
                               quartiles=[low, high], equal=equal)
                    result.setdefault(name, []).append(row)
                    rows.append([name, part, kind, f'{row["seconds"]:.2f}',
                                 f'{ratio:.1f} ({low:.1f} … {high:.1f})',
                                 'yes' if equal else 'no'])
    print(tabulate(rows, ['people', 'part', 'by', 'seconds', 'faster than stock',
                          'equal figures'], tablefmt='github'))
    write_rows(RESULTS, dict(
        format=1, rows=[row for of_source in result.values() for row in of_source],
        number=args.people, rounds=args.rounds, clock=args.clock,
        versions=dict(numpy=np.__version__, python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
