"""What the temporal loss adds to easy-hard consistency: on clips of rendered people.

The demo's network learns 50 labeled people of the embedded data set, and clips of
others without labels. It is tested on further clips. They are rendered first, as
folders of frames: data/annypose_clips.
"""

from pathlib import Path

from mmpose_wloss.common.files import write_whole

import cv2
import numpy as np
import semi_supervised
from lspet import exit_without
from study import ROOT, Study
from tqdm import tqdm

from annypose import ClipParameters
from annypose.body import BodyModel, keep_cache_in
from annypose.clip import render_frames
from annypose.coco import annotation_entries, content, write_json

CLIPS = ROOT / 'data/annypose_clips'
FRAMES, SIZE = 40, 128
# around the person of a clip, smaller than around one of an image: it moves
MARGIN = 1.1
# of the clips of each part
SEEDS = {'train': range(20), 'test': range(100, 110)}
# pixels that a joint may move between frames, of 64, and weights of the loss
EPSILON = 3.
WEIGHTS = (1e-5, 1e-4, 1e-3)


def write_clips(part: str, model: BodyModel) -> None:
    """Render clips as folders of frames, with the joints in COCO's format.

    ``frames/`` has what surrounds the person, who fills a frame as a box does.
    """
    records = []
    for seed in tqdm(SEEDS[part], desc=f'rendering {part}', unit='clip'):
        # slow enough that neighboring frames differ
        parameters = ClipParameters(FRAMES, size=SIZE, fps=10., yaw=90., seed=seed)
        images, people = zip(*render_frames(model, parameters), strict=True)
        window = surroundings(np.array([person.bbox for person, in people]))
        for number, image in enumerate(images):
            name = f'{seed:04d}/{number:04d}.jpg'
            write_image(CLIPS / part / name, image)
            write_image(CLIPS / part / 'frames' / name, image[window])
            index = len(records)
            records.append(dict(
                image=dict(id=index + 1, file_name=name, width=SIZE, height=SIZE),
                annotations=annotation_entries(index, people[number])))
    # what says that all are there comes last
    write_json(annotations(part), content(records, dict(frames=FRAMES), labeled=True))


def surroundings(boxes: np.ndarray) -> tuple[slice, slice]:
    """A square of pixels, rows and columns, around a person in all frames."""
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    side = min(round(MARGIN * max(high - low)), SIZE)
    left, top = np.clip(np.round((low + high - side) / 2).astype(int), 0, SIZE - side)
    return slice(top, top + side), slice(left, left + side)


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, cv2.imencode('.jpg', image)[1].tobytes())


def annotations(part: str) -> Path:
    return CLIPS / f'{part}.json'


def of_clips(dataset: str, part: str) -> dict:
    """Options that point a data set to the labeled frames of clips."""
    return {f'{dataset}.data_root': f'{CLIPS.relative_to(ROOT)}/',
            f'{dataset}.ann_file': f'{part}.json',
            f'{dataset}.data_prefix.img': f'{part}/'}


def tested_on_clips(metrics: str) -> dict:
    return {**of_clips('val_dataloader.dataset', 'test'),
            f'{metrics}.0.ann_file': str(annotations('test').relative_to(ROOT))}


def supervised(labels: int, **options) -> dict:
    return {**semi_supervised.embedded_supervised(labels),
            **tested_on_clips('val_evaluator'), **options}


def consistency(**options) -> dict:
    """Of clips, of which two neighboring frames are always in a batch."""
    unlabeled = 'train_dataloader.dataset.datasets.1'
    return {
        **semi_supervised.EMBEDDED.configurations['PoseCons, joint cutout'],
        **tested_on_clips('val_evaluator.metrics'),
        **of_clips(unlabeled, 'train'), f'{unlabeled}.ann_file': '',
        f'{unlabeled}.data_prefix.img': 'train/frames/',
        f'{unlabeled}.indices': None, f'{unlabeled}.clip_length': 2, **options}


class ClipStudy(Study):
    """Renders the clips before the first training."""

    def run(self, minutes: float, processes: int) -> None:
        missing = [part for part in SEEDS if not annotations(part).exists()]
        if missing:
            # that of the labeled people is there
            keep_cache_in(ROOT / 'data/annypose')
            model = BodyModel()
            for part in missing:
                write_clips(part, model)
        super().run(minutes, processes)


def smooth(weight: float) -> dict:
    return consistency(**{'model.temporal_loss': dict(
        type='TemporalSmoothnessLoss', epsilon=EPSILON, loss_weight=weight)})


PLAIN, ALL = 'PoseCons', 'clips, supervised'
SMOOTH = {f'PoseCons, temporal loss, weight {weight:g}': smooth(weight)
          for weight in WEIGHTS}
STUDY = ClipStudy(
    'temporal_loss', config=semi_supervised.EMBEDDED.config, configurations={
        'supervised': supervised(50),
        ALL: supervised(len(SEEDS['train']) * FRAMES, **of_clips(
            'train_dataloader.dataset.dataset', 'train')),
        PLAIN: consistency(),
        **SMOOTH},
    seeds=3, epochs=semi_supervised.EMBEDDED.epochs,
    figures={'coco/AP': 'AP', 'PCK': 'PCK@0.1'},
    comparisons=[(PLAIN, 'supervised'), *((name, PLAIN) for name in SMOOTH)],
    headrooms={'': ('supervised', ALL)},
    page='docs/semi_supervised.md')


if __name__ == '__main__':
    exit_without('annypose')
    STUDY.main()
