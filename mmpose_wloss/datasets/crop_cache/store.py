"""The file of a crop cache, which all processes map into their memory."""

import json
import mmap
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import UserError
from ..transforms.crops import Crop

MAGIC = b'mmpose_wloss crops\n'
FORMAT = 1
ENTRY = np.dtype([
    # where the pixels begin, behind the index
    ('offset', np.int64), ('width', np.int32), ('height', np.int32),
    ('left', np.int32), ('top', np.int32), ('scale', np.float64),
    ('image_width', np.int32), ('image_height', np.int32),
    ('name', np.uint32), ('state', np.uint8)])
TO_DO, STORED, IN_FILE = range(3)


class CropStore:
    """People's crops in a file: a header, an index with an entry a person, pixels.

    Args:
        path (str or Path): The file.
        root (str): What the paths of all images begin with, which may have been
            something else when the crops were made.
        mode (str): ``'r'``: it can be read, ``'r+'``: it is written, too.

    Attributes:
        about (dict): What the crops were made of.
        entries (np.ndarray): The index, of the type ``ENTRY`` in shape [N].

    Raises:
        UserError: If the file is none of crops, or is cut short.
    """

    def __init__(self, path: str | Path, root: str, mode: str = 'r'):
        self.path, self.root, self.mode = path, root, mode
        with open(path, 'rb') as stream:
            length = stream.read(len(MAGIC) + 8)
            if not length.startswith(MAGIC) or len(length) != len(MAGIC) + 8:
                raise UserError(f'{path} is no file of crops. Delete it, or name '
                                'another folder for the cache')
            text = stream.read(int.from_bytes(length[len(MAGIC):], 'little'))
        try:
            header = json.loads(text)
            people, size = header['people'], header['size']
        except (ValueError, KeyError):
            people, size = 0, None
        found = os.path.getsize(path)
        if size != found:
            raise UserError(f'{path} is cut short: it has {found} bytes of {size}. '
                            'Delete it, to have its crops made anew')
        if header['format'] != FORMAT:
            raise UserError(f'{path} has format {header["format"]}, but this version '
                            f'reads {FORMAT}. Delete it, to have it made anew')
        self.about = header['about']
        start = _padded(len(length) + len(text))
        self.data = data = np.memmap(path, np.uint8, mode)
        self.entries = data[start:start + people * ENTRY.itemsize].view(ENTRY)
        self.pixels = data[start + _padded(people * ENTRY.itemsize):]

    def __reduce__(self) -> tuple:
        # a process that was not forked maps the file anew
        return type(self), (self.path, self.root, self.mode)

    @staticmethod
    def create(path: str | Path, about: dict[str, Any], entries: np.ndarray,
               reserve: bool) -> None:
        """Write a file whose crops are to be made.

        Args:
            path (str or Path): The file.
            about (dict): What the crops are made of, as JSON has it.
            entries (np.ndarray): The index; offsets are set here.
            reserve (bool): Whether to ask the disk for the space now.
        """
        stored = entries['state'] != IN_FILE
        sizes = np.where(stored, 3 * entries['width'].astype(np.int64) *
                         entries['height'], 0)
        entries['offset'] = np.cumsum(sizes) - sizes
        # the header tells the size of the file, of which it is a part
        size = 0
        while True:
            text = json.dumps(dict(format=FORMAT, people=len(entries), size=size,
                                   about=about)).encode()
            start = _padded(len(MAGIC) + 8 + len(text))
            whole = start + _padded(entries.nbytes) + int(sizes.sum())
            if whole == size:
                break
            size = whole
        with open(path, 'r+b' if os.path.exists(path) else 'wb') as stream:
            if reserve and hasattr(os, 'posix_fallocate'):
                os.posix_fallocate(stream.fileno(), 0, size)
            stream.truncate(size)
            stream.write(MAGIC + len(text).to_bytes(8, 'little') + text)
            stream.seek(start)
            stream.write(entries.tobytes())

    def crop(self, index: int, img_path: str) -> Crop | None:
        """The crop of a person; ``None`` if the store has none of this image."""
        entry = self.entries[index].item()
        offset, width, height, left, top, scale, *size, name, state = entry
        if state != STORED or name != digest_of_name(img_path, self.root):
            return None
        pixels = self.pixels[offset:offset + 3 * width * height]
        return Crop(pixels.reshape(height, width, 3), left, top, scale, tuple(size))

    def put(self, index: int, pixels: np.ndarray) -> None:
        """Write the crop of a person, uint8 in the shape that its entry says."""
        offset = self.entries['offset'][index]
        self.pixels[offset:offset + pixels.size] = pixels.reshape(-1)
        # not before the pixels are there
        self.entries['state'][index] = STORED


def digest_of_name(path: str, root: str) -> int:
    """A number that tells images apart, wherever they are."""
    return zlib.crc32(os.fsencode(path.removeprefix(root)))


def _padded(size: int) -> int:
    return -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
