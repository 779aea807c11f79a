"""Split an annotation file into a small labelled part and an unlabelled rest."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .datasets.unlabeled import clip_box, instances_of, parse_coco

FORMAT_VERSION = 1

# where a person is and nothing about their pose, whatever else a file holds
BOX_KEYS = ('id', 'image_id', 'category_id', 'iscrowd', 'bbox')

# a number with more values than this is stratified by its deciles
MAX_STRATA = 10


def make_subset(ann_file: str | Path,
                count: int,
                out_dir: str | Path | None = None,
                seed: int | None = None,
                stratify: str | None = None) -> dict:
    """Split an annotation file for semi-supervised training.

    Two files in COCO's format are written. The first holds ``count`` of the
    instances that ``CocoDataset`` would train on, with their labels: it is a
    labelled data set. The second, its name ending in ``_rest``, holds the box
    of each other such instance and no label of it: it is for
    ``UnlabeledPoseDataset``. Each has the images of its own instances. Both
    say in ``info['subset']`` what they were made from. The same call writes
    the same bytes.

    Args:
        ann_file (str or Path): Annotation file in COCO's format.
        count (int): Labelled instances: at least 1 and fewer than there are.
        out_dir (str or Path, optional): Folder of the two files, made where
            it is missing. Defaults to ``None``: that of ``ann_file``.
        seed (int, optional): Draw the instances with this seed, below 2**32.
            Defaults to ``None``: take the first ones, as
            ``CocoDataset(indices=count)`` does.
        stratify (str, optional): Draw with the same shares as in the whole of
            the values of this key of the annotations, e.g.
            ``'num_keypoints'``. A number with more than 10 values is taken by
            its deciles; values that one instance has are taken together.
            Defaults to ``None``.

    Returns:
        dict: ``instances``, the number that there were; ``labeled`` and
        ``unlabeled`` with ``file``, ``instances`` and ``images`` of the part;
        ``strata``, where asked for, a list of dicts with ``value``,
        ``instances`` and ``labeled``.

    Raises:
        FileNotFoundError: If there is no ``ann_file``.
        ValueError: If it is not in COCO's format or an argument does not fit.
    """
    if count < 1:
        raise ValueError(f'count must be at least 1, but it is {count}')
    if seed is None and stratify is not None:
        raise ValueError(f'stratify={stratify!r} needs a seed: the first '
                         'instances cannot have chosen shares')
    if seed is not None and not 0 <= seed < 2**32:
        raise ValueError(f'seed must be in [0, 2**32), but it is {seed}')
    ann_file = Path(ann_file)
    if not ann_file.is_file():
        raise FileNotFoundError(f'There is no annotation file {ann_file}')
    data = ann_file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    content = parse_coco(data, str(ann_file))
    del data  # COCO's is half a gigabyte
    instances = _labeled_instances(content, ann_file)
    if count >= len(instances):
        raise ValueError(
            f'count must be less than the {len(instances)} instances of '
            f'{ann_file} that can be trained on, but it is {count}: none '
            'would be left without labels')

    if seed is None:
        chosen, strata = range(count), None
    else:
        annotations = [annotation for _, annotation in instances]
        chosen, strata = _draw(annotations, count, seed, stratify, ann_file)
    chosen = set(chosen)
    parts = dict(
        labeled=[instance for index, instance in enumerate(instances)
                 if index in chosen],
        unlabeled=[
            (image, {key: annotation[key] for key in BOX_KEYS
                     if key in annotation})
            for index, (image, annotation) in enumerate(instances)
            if index not in chosen
        ])

    name = f'{ann_file.stem}_first{count}'
    if seed is not None:
        name = f'{ann_file.stem}_random{count}_seed{seed}'
    if stratify is not None:
        name += f'_by_{stratify}'
    folder = ann_file.parent if out_dir is None else Path(out_dir)
    files = dict(labeled=folder / f'{name}.json',
                 unlabeled=folder / f'{name}_rest.json')
    provenance = dict(
        format_version=FORMAT_VERSION,
        source=ann_file.name,
        source_sha256=digest,
        count=count,
        order='annotation' if seed is None else 'random',
        seed=seed,
        stratify=stratify)
    summary = dict(instances=len(instances))
    written = {}
    for part, of_part in parts.items():
        images = {image['id']: image for image, _ in of_part}
        summary[part] = dict(file=str(files[part]), instances=len(of_part),
                             images=len(images))
        of_source = content.get('info')
        info = dict(of_source if isinstance(of_source, dict) else {},
                    subset=dict(provenance, part=part))
        written[files[part]] = json.dumps(dict(
            info=info,
            **{key: content[key] for key in ('licenses', 'categories')
               if key in content},
            images=list(images.values()),
            annotations=[annotation for _, annotation in of_part])).encode()
    if strata is not None:
        summary['strata'] = strata
    _write_together(written)
    return summary


def _labeled_instances(content: dict,
                       ann_file: Path) -> list[tuple[dict, dict]]:
    """The images and annotations that ``CocoDataset`` lists, in its order."""
    if not isinstance(content.get('annotations'), list):
        raise ValueError(f"{ann_file} has no list 'annotations', and so no "
                         'labels to divide')
    ids = {annotation['id'] for annotation in content['annotations']}
    if len(ids) < len(content['annotations']):
        raise ValueError(
            f'{ann_file}: {len(content["annotations"]) - len(ids)} annotations '
            'have the id of another one. Give each its own')
    return [(image, annotation) for image, annotation in instances_of(content)
            if _has_labels(annotation)
            and clip_box(annotation, image, str(ann_file)) is not None]


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

    stratum_of, values = None, []
    if stratify is not None:
        missing = sum(stratify not in annotation for annotation in annotations)
        if missing:
            raise ValueError(
                f'stratify: {missing} of the {len(annotations)} annotations '
                f'in {ann_file} have no {stratify!r}. ' +
                ('All have ' + ', '.join(map(str, sorted(
                    set(annotations[0]).intersection(*annotations))))))
        stratum_of, values = _strata(
            [annotation[stratify] for annotation in annotations], stratify)
        if min(count, len(annotations) - count) < len(values):
            raise ValueError(
                f'{stratify!r} has {len(values)} strata, each of which needs '
                f'an instance in both files; count {count} of '
                f'{len(annotations)} leaves too few in one')
    chosen, _ = train_test_split(
        np.arange(len(annotations)), train_size=count, random_state=seed,
        stratify=stratum_of)
    if stratum_of is None:
        return chosen.tolist(), None
    whole = np.bincount(stratum_of, minlength=len(values))
    labeled = np.bincount(stratum_of[chosen], minlength=len(values))
    return chosen.tolist(), [
        dict(value=value, instances=int(in_all), labeled=int(in_labeled))
        for value, in_all, in_labeled in zip(
            values, whole, labeled, strict=True)
    ]


def _strata(values: list, key: str) -> tuple[np.ndarray, list[str]]:
    """Sort values into strata of at least two.

    Returns:
        tuple: The stratum of each value, and what the strata hold.
    """
    if not all(isinstance(value, str | int | float | None) for value in values):
        raise ValueError(f'stratify: {key!r} is neither a number nor a text')
    numbers = all(isinstance(value, int | float) for value in values)
    if numbers and not np.isfinite(values).all():
        raise ValueError(f'stratify: {key!r} is not finite in every annotation')
    kinds = sorted(set(values)) if numbers else sorted(set(map(str, values)))
    names = [str(kind) for kind in kinds]
    if numbers and len(kinds) > MAX_STRATA:
        array = np.array(values, dtype=float)
        borders = np.unique(np.quantile(
            array, np.arange(1, MAX_STRATA) / MAX_STRATA))
        stratum_of = np.unique(
            np.searchsorted(borders, array), return_inverse=True)[1]
        members = [array[stratum_of == stratum]
                   for stratum in range(stratum_of.max() + 1)]
        names = [' to '.join(f'{end:g}' for end in np.unique(
            [of.min(), of.max()])) for of in members]
    else:
        place = {kind: index for index, kind in enumerate(kinds)}
        stratum_of = np.array([
            place[value if numbers else str(value)] for value in values])

    sizes = np.bincount(stratum_of)
    joined = np.flatnonzero(sizes == 1)
    if len(joined) == 1 and len(sizes) > 1:
        # a lone one goes to the smallest of the others
        joined = np.sort(np.argsort(sizes, kind='stable')[:2])
    if len(joined):
        stratum_of[np.isin(stratum_of, joined)] = joined[0]
        names[joined[0]] = (
            ' and '.join(names[stratum] for stratum in joined)
            if len(joined) <= 3 else f'{len(joined)} values of one each')
        kept, stratum_of = np.unique(stratum_of, return_inverse=True)
        names = [names[stratum] for stratum in kept]
    return stratum_of, names


def _write_together(files: dict[Path, bytes]) -> None:
    """Write files that are whole or not there, also when interrupted."""
    temporary = {
        path: path.with_name(f'.{path.name}.{os.getpid()}') for path in files
    }
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_bytes(content)
        for path in files:
            os.replace(temporary[path], path)
    finally:
        for leftover in temporary.values():
            leftover.unlink(missing_ok=True)
