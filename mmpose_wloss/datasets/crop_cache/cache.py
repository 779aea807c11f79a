"""Let a data set read people's crops instead of whole images."""

import hashlib
import os
import shutil
import socket
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmpose.datasets import CombinedDataset
from mmpose.datasets.transforms import LoadImage
from mmpose.registry import DATASETS

from ...common.checks import one_of, positive, whole
from ...common.errors import UserError
from ...common.files import replaced_whole
from ..transforms.crops import LoadCrop, of_crops
from ..transforms.quick_transforms import quicken
from .build import build, shown
from .plan import plan, records
from .reach import reach_of
from .store import IN_FILE, STORED, TO_DO, CropStore

try:
    import fcntl
except ImportError:  # on Windows, which has no other way for several processes
    fcntl = None


@DATASETS.register_module()
def CropCache(dataset: dict, cache: str = 'disk',  # noqa: N802
              **options) -> BaseDataset:
    """Build any top-down data set, such that it reads crops: :func:`cache_crops`.

    .. code-block:: python

        train_dataloader = dict(dataset=dict(
            type='CropCache', cache='disk', dataset=dict(type='CocoDataset', ...)))

    Args:
        dataset (dict): Config of the data set, whose own pipeline has the
            ``TopdownAffine``.
        cache (str): As of :func:`cache_crops`, as are the ``options``.

    Returns:
        BaseDataset: The data set itself.
    """
    built = DATASETS.build(dataset)
    built.full_init()
    cache_crops(built, cache, **options)
    quicken(built)
    return built


def cache_crops(dataset: BaseDataset, cache: str = 'disk',
                folder: str | Path = 'work_dirs/crops', budget: float | None = None,
                workers: int | None = None,
                box_transforms: Sequence[str] = ()) -> None:
    """Let a data set read people's crops instead of decoding whole images.

    Every sample is what it was before, but for what is said here of pixels. A crop
    has the part of the image that the pipeline can look at, in as many pixels as it
    looks at; :func:`reach_of` finds that out. As coordinates remain those of the image,
    labels are the same. Of an image that is not larger than looked at, so are the
    pixels, but for the rounding of OpenCV; of a larger one, pixels are averaged before
    they are warped. A draw that reaches beyond its crop, or looks at it more closely,
    reads the image's file as before, as do people who have no crop.

    Other processes that ask for the same crops at that time wait, and share them.

    Args:
        dataset (BaseDataset): A top-down data set, changed in place.
        cache (str): ``'disk'``: crops are in a file that later trainings find;
            ``'ram'``: they are in memory that the processes of a training share,
            and are made at the start of each. Linux only.
        folder (str or Path): Where the file goes.
        budget (float, optional): The most that the crops may take, in GB (10⁹ bytes).
            Who is beyond it is read from files: those with the largest crops.
        workers (int, optional): Processes that make crops; by default one per core.
        box_transforms (Sequence[str]): Names of further transforms before the warp
            that change boxes and joints, but no pixels.

    Raises:
        UserError: If crops cannot stand for the images, there is no space for them, or
            a file there is cut short, foreign, or of another budget.
    """
    one_of(('disk', 'ram'), cache=cache)
    if budget is not None:
        positive(budget=budget)
    if workers is not None:
        whole(0, workers=workers)
    if isinstance(dataset, CombinedDataset) or not isinstance(dataset, BaseDataset):
        raise UserError(f'a {type(dataset).__name__} has no people of its own: cache '
                        'the crops of the data sets in it')
    if getattr(dataset, 'data_mode', 'topdown') != 'topdown':
        raise UserError(f"data_mode={dataset.data_mode!r}: crops are of one person, in "
                        "data_mode='topdown'")
    load_image = _load_image(dataset)
    reach = reach_of(dataset, box_transforms)
    paths, boxes = records(dataset)
    root = os.path.commonprefix(paths)
    about = dict(people=_digest(paths, root, boxes), reads=str(reach), budget=budget)
    on_disk, descriptor = cache == 'disk', None
    if on_disk:
        path = Path(folder, f'{_name(dataset)}_{about["people"][:8]}_{reach}.crops')
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        path, descriptor = _shared_memory()
    began = time.perf_counter()
    with _lock(path.parent if on_disk else path):
        if not os.path.exists(path) or not os.path.getsize(path):
            _create(path, on_disk, about, plan(
                paths, root, boxes, reach, None if budget is None else 1e9 * budget,
                lambda each: shown(each, 'Sizes of images', len(each))))
        store = CropStore(path, root)
        _check(store, about)
        # a file whose crops are all made may be one that nobody can write
        if (store.entries['state'] == TO_DO).any():
            build(CropStore(path, root, 'r+'), paths, load_image, workers)
            _report(store, time.perf_counter() - began)
    if descriptor is not None:
        # the memory is given back when nobody reads from it any more
        weakref.finalize(store, os.close, descriptor)
    use_crops(dataset, store)


def use_crops(dataset: BaseDataset, store: CropStore) -> None:
    """Let a data set read the crops of a store, person by person.

    Args:
        dataset (BaseDataset): The data set, changed in place.
        store (CropStore): The store.
    """
    pipeline = dataset.pipeline
    transforms = pipeline.transforms
    if not any(isinstance(one, LoadImage) for one in transforms):
        # the data set loads images itself
        transforms = [LoadImage(), *transforms]
    pipeline.transforms = of_crops(transforms, store)


def _load_image(dataset: BaseDataset) -> LoadImage:
    for transform in dataset.pipeline.transforms:
        if isinstance(transform, LoadCrop):
            raise UserError(f'the crops of this {type(dataset).__name__} are cached '
                            'already: give its cache once')
        if isinstance(transform, LoadImage):
            break
    else:
        return LoadImage()
    backend = (transform.backend_args or {}).get('backend', 'local')
    for key, value, needed in (
            ('to_float32', transform.to_float32, False),
            ('color_type', transform.color_type, 'color'),
            ('backend_args', backend, 'local')):
        if value != needed:
            raise UserError(f'LoadImage has {key}={value!r}, but crops are 8-bit BGR '
                            f'of local files: take {needed!r}, or no cache')
    return transform


def _digest(paths: Sequence[str], root: str, boxes: np.ndarray) -> str:
    """SHA-256 of people: their images' names and bytes in number, and their boxes."""
    sizes = {path: os.path.getsize(path) if os.path.isfile(path) else -1
             for path in dict.fromkeys(paths)}
    names = (f'{path.removeprefix(root)} {sizes[path]}' for path in paths)
    return hashlib.sha256(os.fsencode('\n'.join(names)) + boxes.tobytes()).hexdigest()


def _name(dataset: BaseDataset) -> str:
    source = dataset.ann_file or dataset.data_prefix['img']
    return f'{dataset.metainfo.get("dataset_name", "people")}_{Path(source).stem}'


@contextmanager
def _lock(path: str | Path) -> Iterator[None]:
    """Be the only process that has this file or folder locked."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print_log(f'Another process makes crops in {path}', 'current')
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create(path: str | Path, on_disk: bool, about: dict[str, Any],
            entries: np.ndarray) -> None:
    to_do = entries[entries['state'] == TO_DO]
    needed = 3 * int((to_do['width'].astype(np.int64) * to_do['height']).sum())
    free = shutil.disk_usage(Path(path).parent).free if on_disk else _free_memory()
    if needed > free:
        raise UserError(
            f'the crops of {len(to_do)} people need {needed / 1e9:.1f} GB, but '
            f'{"the disk of " + str(path) if on_disk else "the memory"} has '
            f'{free / 1e9:.1f} GB left. Give the cache a budget in GB; who is beyond '
            'it is read from the images')
    if not on_disk:
        CropStore.create(path, about, entries, reserve=False)
        return
    with replaced_whole(path) as partial:
        CropStore.create(partial, about, entries, reserve=True)


def _free_memory() -> int:
    for line in Path('/proc/meminfo').read_text().splitlines():
        if line.startswith('MemAvailable:'):
            return 1024 * int(line.split()[1])
    return 0


def _shared_memory() -> tuple[str, int | None]:
    """A file in memory that all processes of this machine agree upon."""
    if not hasattr(os, 'memfd_create'):
        raise UserError("cache='ram' needs Linux. Take cache='disk'")
    descriptor = os.memfd_create('crops')
    mine = f'/proc/{os.getpid()}/fd/{descriptor}'
    machine = (socket.gethostname(),
               Path('/proc/sys/kernel/random/boot_id').read_text())
    path = next(path for where, path in all_gather_object((machine, mine))
                if where == machine)
    if path != mine:
        os.close(descriptor)
    return path, descriptor if path == mine else None


def _check(store: CropStore, about: dict[str, Any]) -> None:
    differences = [
        f'{key}: {store.about.get(key)} in the file, {value} in the data set'
        for key, value in about.items() if store.about.get(key) != value]
    if differences:
        raise UserError(f'{store.path} has other crops. Delete it, or name another '
                        'folder for the cache:\n  ' + '\n  '.join(differences))


def _report(store: CropStore, seconds: float) -> None:
    state = store.entries['state']
    print_log(
        f'Crops of {(state == STORED).sum():,} of {len(state):,} people, '
        f'{store.pixels.size / 1e9:.2f} GB, made in {seconds:.0f} s: {store.path}. '
        f'{(state == IN_FILE).sum():,} people are read from their images', 'current')
