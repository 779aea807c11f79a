"""Make the crops of a store, by several processes."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
import torch
from mmpose.datasets.transforms import LoadImage
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from torch.utils.data import DataLoader, Dataset

from .store import IN_FILE, TO_DO, CropStore


def build(store: CropStore, paths: Sequence[str], load_image: LoadImage,
          workers: int | None = None) -> None:
    """Make the crops that a store lacks, of one person at least.

    Who has none, as the image cannot be loaded or is not as large as its file says,
    stays with the image's file.

    Args:
        store (CropStore): The store, which can be written.
        paths (list[str]): Of each person's image, [N].
        load_image (LoadImage): Loads an image.
        workers (int, optional): Processes; by default one for each core.
    """
    people = defaultdict(list)
    for index in np.flatnonzero(store.entries['state'] == TO_DO).tolist():
        people[paths[index]].append(index)
    if workers is None:
        workers = (len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
                   else os.cpu_count())
    images = _Images(store, list(people.items()), load_image)
    loader = DataLoader(
        images, batch_size=None, num_workers=workers if len(images) > workers else 0,
        worker_init_fn=_one_thread,
        # or it would change the random numbers of the training
        generator=torch.Generator())
    for _ in shown(loader, 'Crops of images', len(images)):
        pass
    store.data.flush()


class _Images(Dataset):

    def __init__(self, store: CropStore, people: list[tuple[str, list[int]]],
                 load_image: LoadImage):
        self.store, self.people, self.load_image = store, people, load_image

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> int:
        path, people = self.people[index]
        image = self._image(path)
        for person in people:
            entry = self.store.entries[person]
            size = int(entry['image_height']), int(entry['image_width'])
            if image is None or image.shape[:2] != size:
                self.store.entries['state'][person] = IN_FILE
            else:
                self.store.put(person, cut(image, entry))
        return index

    def _image(self, path: str) -> np.ndarray | None:
        try:
            return self.load_image.transform(dict(img_path=path))['img']
        # whoever trains on it is told what is wrong
        except (OSError, cv2.error, AssertionError, TypeError):
            return None


def cut(image: np.ndarray, entry: np.void) -> np.ndarray:
    """The crop of an image, [H, W, 3], that an entry of a store describes."""
    left, top, width, height = (int(entry[key]) for key in (
        'left', 'top', 'width', 'height'))
    columns, rows = (round(side / entry['scale']) for side in (width, height))
    window = image[top:top + rows, left:left + columns]
    missing = rows - window.shape[0], columns - window.shape[1]
    if any(missing):
        window = np.pad(window, ((0, missing[0]), (0, missing[1]), (0, 0)))
    if (columns, rows) != (width, height):
        window = cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA)
    return window


def shown(iterable: Iterable, what: str, total: int | None = None) -> Iterator:
    """Iterate with a bar that shows how far it is."""
    with Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                  TimeRemainingColumn()) as progress:
        yield from progress.track(iterable, total, description=what)


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
