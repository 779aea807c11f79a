"""Annotations and results in COCO's format, and what evaluations make of them."""

import copy
import importlib
import json
import math
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).parent / 'data' / 'xtcocotools.json'
STAND_IN = 'mmpose_wloss.compat.xtcocotools'
PARTS = dict(keypoints=17, foot_kpts=6, face_kpts=68, lefthand_kpts=21,
             righthand_kpts=21)
WHOLE_BODY = {name: sum(counts) for name, counts in dict(
    wholebody=PARTS.values(), foot=[6], face=[68], lefthand=[21],
    righthand=[21]).items()}


def sigmas(count: int) -> np.ndarray:
    return np.linspace(.02, .11, count)


# options of the evaluation, and of the annotations and results
CASES = {
    'keypoints': dict(),
    'keypoints, seed 1': dict(seed=1),
    'keypoints, ids from 7': dict(first=7),
    'keypoints, other sigmas': dict(sigmas=sigmas(17)),
    'keypoints, box for area': dict(use_area=False),
    'keypoints, no area': dict(use_area=False, area=False),
    'keypoints, boxes in results': dict(boxes=True),
    'keypoints, two categories': dict(categories=2),
    'keypoints, categories as one': dict(categories=2, use_categories=False),
    'keypoints, some images': dict(images=[3, 4, 8]),
    'keypoints, part of the joints': dict(
        joints=[0, 5, 6, 11, 12], sigmas=sigmas(5)),
    'keypoints, nobody': dict(people=0),
    'keypoints, no results': dict(results=False),
    'crowd': dict(type='keypoints_crowd', use_area=False, crowding=(.05, 1.)),
    'crowd, all easy': dict(type='keypoints_crowd', crowding=(0., .1)),
    'crowd, no results': dict(type='keypoints_crowd', crowding=(0., 1.),
                              results=False),
    **{name: dict(type=f'keypoints_{name}', sigmas=sigmas(count))
       for name, count in WHOLE_BODY.items()},
    **{f'{name}, without its score': dict(
        type=f'keypoints_{name}', sigmas=sigmas(count), part_scores=False)
       for name, count in WHOLE_BODY.items()},
    'boxes': dict(type='bbox', boxes=True),
    'boxes, no area': dict(type='bbox', boxes=True, area=False),
    'boxes, other area': dict(type='bbox', boxes=True, use_area=False),
}


def labeled(rng: np.random.Generator, corner, size, count: int) -> np.ndarray:
    """Keypoints in a box and their flags, in shape [count, 3]."""
    points = corner + rng.uniform(0, 1, (count, 2)) * size
    return np.column_stack([points.round(2), rng.integers(0, 3, count)])


def annotated(rng: np.random.Generator, people: int = 4, first: int = 0,
              categories: int = 1, area: bool = True, crowding=None) -> dict:
    """Annotations of images with and without people, labels and crowds."""
    images, annotations = [], []
    for number in range(1, 25):
        images.append(dict(id=number, file_name=f'{number}.jpg', height=480,
                           width=640))
        if crowding:
            images[-1]['crowdIndex'] = round(rng.uniform(*crowding), 3)
        for _ in range(rng.integers(0, people + 1) if number > 2 else 0):
            size = rng.uniform(20, 250, 2).round(1)
            corner = rng.uniform(0, 200, 2).round(1)
            parts = {name: labeled(rng, corner, size, count)
                     for name, count in PARTS.items()}
            kind = rng.uniform()
            for points in parts.values():
                if kind < .15 or rng.uniform() < .1:
                    points[:, 2] = 0
            annotations.append(dict(
                id=first + len(annotations), image_id=number,
                category_id=1 + int(rng.integers(categories)),
                iscrowd=int(.15 < kind < .3), bbox=[*corner, *size],
                num_keypoints=int((parts['keypoints'][:, 2] == 2).sum()),
                **{name: points.ravel().tolist()
                   for name, points in parts.items()}))
            if area:
                annotations[-1]['area'] = (
                    size.prod() * rng.uniform(.3, .8)).round(1)
            if kind > .85:
                del annotations[-1]['iscrowd']
    return dict(images=images, annotations=annotations, categories=[
        dict(id=number, name=str(number)) for number in (1, 2)[:categories]])


def predicted(rng: np.random.Generator, content: dict, boxes: bool,
              part_scores: bool, ties: bool = False) -> list[dict]:
    """Results near to people, some twice, and of people who are not there.

    With ties, scores are alike, and a third of the results are exact and come twice.
    """
    results = []
    templates = content['annotations'] * 2 + content['annotations'][:8]
    for number, person in enumerate(templates):
        if rng.uniform() < .1:
            continue
        scale = rng.uniform(0, .15) * np.sqrt(np.prod(person['bbox'][2:]))
        result = dict(image_id=person['image_id'],
                      category_id=person['category_id'],
                      score=round(rng.uniform(), 3))
        if number >= 2 * len(content['annotations']):
            result['image_id'] = int(rng.integers(1, 25))
        for name, count in PARTS.items():
            points = np.reshape(person[name], (-1, 3))
            points[:, :2] += rng.uniform(-scale, scale, (count, 2))
            points[:, 2] = rng.uniform(0, 1) > .05
            result[name] = points.round(3).ravel().tolist()
        if part_scores:
            result.update({f'{name}_score': round(rng.uniform(), 3)
                           for name in WHOLE_BODY})
        if boxes:
            shift = rng.uniform(-.1, .1, 4) * np.tile(person['bbox'][2:], 2)
            result['bbox'] = (person['bbox'] + shift).round(2).tolist()
        results.append(result)
        if ties:
            result['score'] = round(result['score'], 1)
            if number % 3 == 0:
                for name in PARTS:
                    result[name][:] = person[name]
                result['keypoints'][2] = 1
                results.append(copy.deepcopy(result))
    return results


def evaluated(package: str, file: Path, *, evaluation: type | None = None,
              type: str = 'keypoints', sigmas=None, use_area: bool = True,
              use_categories: bool = True, seed: int = 0, images=None, joints=None,
              results: bool = True, boxes: bool = False, part_scores: bool = True,
              ties: bool = False, **options):
    """A package's evaluation, or another one, once it has accumulated."""
    coco, cocoeval = (importlib.import_module(f'{package}.{name}')
                      for name in ('coco', 'cocoeval'))
    rng = np.random.default_rng(seed)
    content = annotated(rng, **options)
    found = predicted(rng, content, boxes, part_scores, ties) if results else []
    if joints:
        for result in found:
            result['keypoints'] = np.reshape(
                result['keypoints'], (-1, 3))[joints].ravel().tolist()
    file.write_text(json.dumps(content))
    truth = coco.COCO(str(file), joints)
    evaluation = (evaluation or cocoeval.COCOeval)(
        truth, truth.loadRes(copy.deepcopy(found)), type, sigmas, use_area)
    evaluation.params.useCats = int(use_categories)
    if images:
        evaluation.params.imgIds = images
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def figures(package: str, file: Path, **options) -> dict:
    """What a package computes, as JSON can hold it to the last digit."""
    evaluation = evaluated(package, file, **options)
    sums = {name: math.fsum(evaluation.eval[name].ravel())
            for name in ('precision', 'recall', 'scores')}
    evaluation.summarize()
    return dict(stats=[float(number) for number in evaluation.stats], **sums,
                results=len(evaluation.cocoDt.anns))
