"""A folder of what a teacher predicts of the images of a data set."""

import hashlib
import json
from pathlib import Path

import numpy as np

FORMAT = 1
INDEX = 'index.json'
KEY_BYTES = 16


class TeacherCacheError(ValueError):
    """A folder that is no cache of targets, or not one that fits."""


def image_key(image: np.ndarray) -> bytes:
    """What an image is found by: a digest of its pixels.

    So no other image's targets can be taken, whatever changed in files,
    orders or augmentations.

    Args:
        image (np.ndarray): A network's input before it is normalized, in
            shape [H, W, 3].

    Returns:
        bytes: 16 bytes.
    """
    digest = hashlib.blake2b(f'{image.dtype} {image.shape}'.encode(),
                             digest_size=KEY_BYTES)
    digest.update(np.ascontiguousarray(image))
    return digest.digest()


def shard_files(shard: int) -> tuple[str, str]:
    """Names of a shard's files of keys and of targets."""
    return f'keys_{shard:05d}.npy', f'targets_{shard:05d}.npy'


def read_index(folder: str) -> dict:
    """Read what a cache says of itself.

    Args:
        folder (str): The cache.

    Returns:
        dict: ``inputs``: digests of what the targets were computed from,
        ``shapes`` of a sample's targets, ``gives_labels``, ``taught``,
        ``keypoint_names``, ``teacher_digest``, the number of samples in each
        of the ``shards``, and whether it is ``complete``.

    Raises:
        TeacherCacheError: If there is none, or one of another format.
    """
    path = Path(folder, INDEX)
    try:
        index = json.loads(path.read_text())
    except FileNotFoundError:
        raise TeacherCacheError(
            f'{folder} is no cache of teacher targets: it has no {INDEX}. '
            f'Write one: python tools/cache_teacher.py CONFIG --out {folder}'
        ) from None
    except ValueError as error:
        raise TeacherCacheError(f'{path} is not a JSON file: {error}') from None
    if not isinstance(index, dict) or index.get('format') != FORMAT:
        raise TeacherCacheError(
            f'{path} is not of format {FORMAT}, which this version of '
            'mmpose_wloss reads. Write the cache again')
    return index


class TeacherCache:
    """Finds the targets of an image.

    Files are opened when the first image is looked for, mapped into memory
    and not copied, so each process that loads data opens its own.

    Args:
        folder (str): The cache.

    Attributes:
        index (dict): As of :func:`read_index`.

    Raises:
        TeacherCacheError: If it is none.
    """

    def __init__(self, folder: str):
        self.folder = str(folder)
        self.index = read_index(folder)
        self._places = None

    def __getstate__(self) -> dict:
        return dict(folder=self.folder, index=self.index, _places=None)

    def _open(self) -> None:
        self._shards, places = [], {}
        for shard, count in enumerate(self.index['shards']):
            keys, targets = (
                np.load(Path(self.folder, name), mmap_mode='r',
                        allow_pickle=False) for name in shard_files(shard))
            if len(keys) != count or len(targets) != count:
                raise TeacherCacheError(
                    f'{self.folder}: shard {shard} has {len(keys)} keys and '
                    f'{len(targets)} targets, but {INDEX} says {count}. Write '
                    'the cache again')
            self._shards.append(targets)
            places.update((key.tobytes(), (shard, row))
                          for row, key in enumerate(np.asarray(keys)))
        self._places = places

    def find(self, image: np.ndarray) -> np.ndarray | None:
        """Find what the teacher predicts of an image.

        Args:
            image (np.ndarray): As of :func:`image_key`.

        Returns:
            np.ndarray or None: In shape [K, N], all bins of a joint one after
            the other; ``None`` if the cache has not this image.
        """
        if self._places is None:
            self._open()
        place = self._places.get(image_key(image))
        return None if place is None else np.array(
            self._shards[place[0]][place[1]])
