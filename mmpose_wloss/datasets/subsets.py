"""Split an annotation file into a small labeled part and an unlabeled rest."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common.checks import whole
from ..common.errors import UserError
from ..common.files import digest_of_file, replaced_whole
from .datasets.unlabeled import clip_box, instances_of, read_coco

FORMAT_VERSION = 1

# where a person is and nothing about their pose, whatever else a file holds
BOX_KEYS = ('id', 'image_id', 'category_id', 'iscrowd', 'bbox')

# a number with more values than this is stratified by its deciles
MAX_STRATA = 10


def make_subset(ann_file: str | Path, count: int, out_dir: str | Path | None = None,
                seed: int | None = None, stratify: str | None = None) -> dict:
    """Split an annotation file for semi-supervised training.

    Two files in COCO's format are written. The first holds ``count`` of the
    instances that ``CocoDataset`` would train on, with their labels. The second, its
    name ending in ``_rest``, holds the box of each other such instance and no label
    of it: it is for ``UnlabeledPoseDataset``. Each has the images of its own
    instances, and says in ``info['subset']`` what it was made from. The same call
    writes the same bytes.

    Args:
        ann_file (str or Path): Annotation file in COCO's format.
        count (int): Labeled instances: at least 1 and fewer than there are.
        out_dir (str or Path, optional): Folder of the two files, made where it is
            missing; ``None``: that of ``ann_file``.
        seed (int, optional): Draw the instances with this seed, below 2**32; ``None``:
            take the first ones, as ``CocoDataset(indices=count)`` does.
        stratify (str, optional): Draw with the same shares as in the whole of the
            values of this key of the annotations, e.g. ``'num_keypoints'``. A number
            with more than 10 values is taken by its deciles; values of one instance
            each are taken together.

    Returns:
        dict: ``instances``, the number that there were; ``labeled`` and ``unlabeled``
        with ``file``, ``instances`` and ``images``; where asked for, ``strata``, a list
        of dicts with ``value``, ``instances`` and ``labeled``.

    Raises:
        MissingFile: If there is no ``ann_file``.
        UserError: If it is not in COCO's format or an argument does not fit.
    """
    whole(1, count=count)
    if seed is not None:
        whole(0, seed=seed)
    elif stratify is not None:
        raise UserError(f'stratify={stratify!r} needs a seed')
    ann_file = Path(ann_file)
    content = read_coco(ann_file)
    instances = _labeled_instances(content, ann_file)
    if count >= len(instances):
        raise UserError(f'count must be less than the {len(instances)} instances of '
                        f'{ann_file} that can be trained on, but it is {count}')

    chosen, strata = range(count), None
    if seed is not None:
        annotations = [annotation for _, annotation in instances]
        chosen, strata = _draw(annotations, count, seed, stratify, ann_file)
    chosen, parts = set(chosen), dict(labeled=[], unlabeled=[])
    for index, (image, annotation) in enumerate(instances):
        if index not in chosen:
            annotation = {key: annotation[key] for key in BOX_KEYS if key in annotation}
        parts['labeled' if index in chosen else 'unlabeled'].append((image, annotation))

    name = f'{ann_file.stem}_first{count}'
    if seed is not None:
        name = f'{ann_file.stem}_random{count}_seed{seed}'
    if stratify is not None:
        name += f'_by_{stratify}'
    folder = ann_file.parent if out_dir is None else Path(out_dir)
    files = [folder / f'{name}.json', folder / f'{name}_rest.json']
    provenance = dict(
        format_version=FORMAT_VERSION, source=ann_file.name,
        source_sha256=digest_of_file(ann_file), count=count,
        order='annotation' if seed is None else 'random', seed=seed,
        stratify=stratify)
    summary = dict(instances=len(instances))
    with replaced_whole(*files) as partials:
        for (part, of_part), file, partial in zip(
                parts.items(), files, partials, strict=True):
            images = {image['id']: image for image, _ in of_part}
            summary[part] = dict(file=str(file), instances=len(of_part),
                                 images=len(images))
            info = content.get('info')
            partial.write_text(json.dumps(dict(
                info=dict(info if isinstance(info, dict) else {},
                          subset=dict(provenance, part=part)),
                **{key: content[key] for key in ('licenses', 'categories')
                   if key in content},
                images=list(images.values()),
                annotations=[annotation for _, annotation in of_part])))
    return summary if strata is None else dict(summary, strata=strata)


def _labeled_instances(content: dict, ann_file: Path) -> list[tuple[dict, dict]]:
    """The images and annotations that ``CocoDataset`` lists, in its order."""
    annotations = content.get('annotations')
    if not isinstance(annotations, list):
        raise UserError(f"{ann_file} has no list 'annotations'")
    for index, annotation in enumerate(annotations):
        for key in ('id', 'image_id'):
            if key not in annotation:
                raise UserError(f'{ann_file}: annotations[{index}] has no {key!r}')
    if len({annotation['id'] for annotation in annotations}) < len(annotations):
        raise UserError(f'{ann_file}: some annotations have the id of another one')

    def can_be_trained_on(image: dict, annotation: dict) -> bool:
        try:
            return (_has_labels(annotation)
                    and clip_box(annotation, image, ann_file) is not None)
        except (TypeError, ValueError) as error:
            raise UserError(
                f'{ann_file}: annotation {annotation["id"]!r} has keypoints that are '
                'no triples of x, y and visibility, or a box that is not four '
                f'numbers: {error}') from error

    return [each for each in instances_of(content) if can_be_trained_on(*each)]


def _has_labels(annotation: dict) -> bool:
    if annotation.get('iscrowd') or annotation.get('num_keypoints') == 0:
        return False
    joints = np.array(annotation.get('keypoints') or (), np.float32)
    # not "> 0": CocoDataset takes an instance with NaN in its labels
    return joints.size > 0 and not joints.reshape(-1, 3)[:, :2].max() <= 0


def _draw(annotations: list[dict], count: int, seed: int, stratify: str | None,
          ann_file: Path) -> tuple[Sequence[int], list[dict] | None]:
    """Draw instances; returns their indices and the strata's table."""
    # takes a second, which importing mmpose_wloss should not
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(annotations))
    if stratify is None:
        return train_test_split(
            indices, train_size=count, random_state=seed)[0].tolist(), None
    if not all(stratify in annotation for annotation in annotations):
        shared = set(annotations[0]).intersection(*annotations)
        raise UserError(f'some annotations in {ann_file} have no {stratify!r}; all '
                        f'have {", ".join(map(str, sorted(shared)))}')
    stratum_of, names = _strata(
        [annotation[stratify] for annotation in annotations], stratify)
    if min(count, len(annotations) - count) < len(names):
        raise UserError(f'{stratify!r} has {len(names)} strata, each of which needs '
                        f'an instance in both files, but count is {count} of '
                        f'{len(annotations)}')
    chosen, _ = train_test_split(
        indices, train_size=count, random_state=seed, stratify=stratum_of)
    numbers = zip(names, np.bincount(stratum_of).tolist(), np.bincount(
        stratum_of[chosen], minlength=len(names)).tolist(), strict=True)
    return chosen.tolist(), [
        dict(value=name, instances=instances, labeled=labeled)
        for name, instances, labeled in numbers]


def _strata(values: list, key: str) -> tuple[np.ndarray, list[str]]:
    """The stratum of each value, and what the strata hold, at least two each."""
    if not all(isinstance(value, str | int | float | None) for value in values):
        raise UserError(f'stratify: {key!r} is neither a number nor a text')
    numbers = all(isinstance(value, int | float) for value in values)
    if numbers and not np.isfinite(values).all():
        raise UserError(f'stratify: {key!r} is not finite in every annotation')
    kinds, stratum_of = np.unique(
        values if numbers else list(map(str, values)), return_inverse=True)
    names = list(map(str, kinds.tolist()))
    if numbers and len(kinds) > MAX_STRATA:
        array = np.array(values, dtype=float)
        borders = np.quantile(array, np.arange(1, MAX_STRATA) / MAX_STRATA)
        _, stratum_of = np.unique(
            np.searchsorted(np.unique(borders), array), return_inverse=True)
        members = [array[stratum_of == index] for index in range(stratum_of.max() + 1)]
        names = [' to '.join(f'{end:g}' for end in np.unique(
            [of.min(), of.max()])) for of in members]

    sizes = np.bincount(stratum_of)
    single = (sizes == 1).sum()
    if single and len(sizes) > 1:
        # taken together, a lone one with the smallest of the others
        joined = np.sort(np.argsort(sizes, kind='stable')[:max(2, single)])
        names[joined[0]] = (' and '.join(names[index] for index in joined)
                            if len(joined) <= 3 else f'{single} values of one each')
        stratum_of[np.isin(stratum_of, joined)] = joined[0]
        kept, stratum_of = np.unique(stratum_of, return_inverse=True)
        names = [names[index] for index in kept]
    return stratum_of, names
