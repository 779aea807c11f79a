"""What MMPose asks to know of joints, from the categories of an annotation file."""

import colorsys
import re
from collections.abc import Sequence
from pathlib import Path

from ..common.checks import positive
from ..common.errors import UserError
from .datasets.unlabeled import read_coco

# how names have sides, the surest first: a word; a letter alone, or a capital at a
# word's end; a letter before or behind capitals; one at the beginning
SIDES = [re.compile(pattern) for pattern in (
    'left|right|Left|Right|LEFT|RIGHT|(?<![A-Za-z])[lrLR](?![A-Za-z])'
    '|(?<=[a-z])[LR](?![A-Za-z])',
    '(?<![A-Za-z])[lrLR](?=[A-Z])|(?<=[A-Z])[LR](?![A-Za-z])',
    '^[lr](?=[a-z])')]
OTHER = dict(left='right', Left='Right', LEFT='RIGHT', l='r', L='R')
OTHER |= {right: left for left, right in OTHER.items()}


def keypoint_category(content: dict, file: str | Path, name: str | None = None) -> dict:
    """The category with keypoints of annotations in COCO's format.

    Args:
        content (dict): The annotations.
        file (str or Path): Where they are from, for errors.
        name (str, optional): Its name, where several categories have keypoints.

    Raises:
        UserError: If there is none, or several and no name.
    """
    categories = {one['name']: one for one in content.get('categories') or ()
                  if one.get('keypoints')}
    if not categories:
        raise UserError(f'{file}: no category lists its keypoints. Add their names to '
                        "it, 'keypoints': ['nose', …], in the order of the annotations")
    if name is None and len(categories) > 1:
        raise UserError(f'{file} has {len(categories)} categories with keypoints, '
                        f'{", ".join(categories)}: name one by --category')
    if name is not None and name not in categories:
        raise UserError(f'{file} has no category {name!r} with keypoints, but '
                        f'{", ".join(categories)}')
    return categories[name or next(iter(categories))]


def other_side(name: str, names: Sequence[str]) -> str:
    """The joint that a mirror image has in the place of one, or ``''``.

    Its name has right for left, R for L, and the like.
    """
    for side in SIDES:
        mirrored = side.sub(lambda match: OTHER[match[0]], name)
        if mirrored != name and mirrored in names:
            return mirrored
    return ''


def metainfo_of_category(category: dict, sigma: float = 0.05) -> dict:
    """MMPose's ``dataset_info`` of a category in COCO's format.

    Colors go once around the circle of hues. A mirror swaps joints whose names have
    left and right; all weigh 1.

    Args:
        category (dict): With ``name``, ``keypoints`` (their names) and perhaps
            ``skeleton`` (pairs of them, counted from 1).
        sigma (float): Of all joints, as COCO's metric defines it.

    Returns:
        dict: For ``metainfo`` of a data set.

    Raises:
        UserError: If names are not unique, or a pair names another joint.
    """
    positive(sigma=sigma)
    names, name = list(map(str, category['keypoints'])), str(category['name'])
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise UserError(f'category {name!r} has two keypoints with the name {twice!r}')
    colors = [[round(255 * value) for value in colorsys.hsv_to_rgb(
        index / len(names), 0.8, 1)] for index in range(len(names))]
    links = category.get('skeleton') or []
    for link in links:
        if len(link) != 2 or not all(end in range(1, len(names) + 1) for end in link):
            raise UserError(f'the skeleton of category {name!r} has the link {link}, '
                            f'but a link is two numbers from 1 to {len(names)}')
    return dict(
        dataset_name=name,
        keypoint_info={
            index: dict(name=one, id=index, color=colors[index], type='',
                        swap=other_side(one, names))
            for index, one in enumerate(names)},
        skeleton_info={
            index: dict(link=(names[start - 1], names[end - 1]), id=index,
                        color=colors[end - 1])
            for index, (start, end) in enumerate(links)},
        joint_weights=[1.] * len(names), sigmas=[sigma] * len(names))


def read_metainfo(file: str | Path, category: str | None = None,
                  sigma: float = 0.05) -> tuple[dict, list[dict]]:
    """The ``dataset_info`` of an annotation file, and the annotations.

    Args:
        file (str or Path): The file, in COCO's format.
        category (str, optional): As of :func:`keypoint_category`.
        sigma (float): As of :func:`metainfo_of_category`.

    Returns:
        tuple[dict, list[dict]]: The meta information, and the annotations of the
        category.

    Raises:
        MissingFile: If there is no such file.
        UserError: If it is not in that format, or an annotation has another number
            of keypoints.
    """
    content = read_coco(file)
    kind = keypoint_category(content, file, category)
    annotations = [one for one in content.get('annotations') or ()
                   if one.get('category_id') == kind['id']]
    for one in annotations:
        if one.get('keypoints') and len(one['keypoints']) != 3 * len(kind['keypoints']):
            raise UserError(
                f'{file}: annotation {one.get("id")} has {len(one["keypoints"])} '
                f'numbers in keypoints, but the {len(kind["keypoints"])} joints of '
                f'{kind["name"]!r} ask for {3 * len(kind["keypoints"])}')
    return metainfo_of_category(kind, sigma), annotations


def metainfo_text(metainfo: dict) -> str:
    """A ``dataset_info`` as a Python file, a line a joint, to read and edit."""
    def lines(items: dict) -> str:
        return ''.join(
            f'        {index}: dict('
            + ', '.join(f'{key}={value!r}' for key, value in each.items()) + '),\n'
            for index, each in items.items())

    parts = (f'    {key}={{\n{lines(value)}    }},\n' if isinstance(value, dict)
             else f'    {key}={value!r},\n' for key, value in metainfo.items())
    return f'dataset_info = dict(\n{"".join(parts)})\n'
