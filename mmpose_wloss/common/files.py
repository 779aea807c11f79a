"""Files: written whole or not at all, known by a digest, listed in order."""

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import MissingFile, UserError

CONFIGS = 'configs'
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


@contextmanager
def replaced_whole(*paths: str | Path) -> Iterator[Path | list[Path]]:
    """Write files under other names, which become theirs where all ends well.

    A failed write leaves old files whole and no part of new ones.

    Args:
        *paths (str or Path): The files. Their folders are made.

    Yields:
        Path or list[Path]: Where to write meanwhile, with the same suffixes:
        of one file its path, of several a list.
    """
    paths = [Path(path) for path in paths]
    partials = [path.with_name(f'{path.stem}.partial{path.suffix}')
                for path in paths]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partials[0] if len(partials) == 1 else partials
        for partial, path in zip(partials, paths, strict=True):
            if partial.exists():
                os.replace(partial, path)
    except OSError as error:
        # a full disk names no file
        error.filename = error.filename or str(paths[0])
        raise
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file; a failed write leaves an old one whole.

    Args:
        path (str or Path): The file. Its folder is made.
        content (str or bytes): What it is to hold.
    """
    with replaced_whole(path) as partial:
        if isinstance(content, str):
            partial.write_text(content)
        else:
            partial.write_bytes(content)


def check_spares(written: Iterable[str | Path], read: Iterable[str | Path]) -> None:
    """Check that no file to write is one that is read.

    Args:
        written (Iterable): The files to write.
        read (Iterable): Those that are read.

    Raises:
        UserError: Names one that is both.
    """
    kept = {Path(path).resolve() for path in read}
    for path in written:
        if Path(path).resolve() in kept:
            raise UserError(f'{path} is to be written, but it is read, too: name '
                            'another place to write to')


def digest_of_file(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, 'rb') as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of_files(paths: Sequence[str | Path]) -> str:
    """SHA-256 of a file, of several that of their digests, in their order."""
    digests = [digest_of_file(path) for path in paths]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256('\n'.join(digests).encode()).hexdigest()


def list_images(folder: str | Path) -> list[Path]:
    """The images in a folder and in its folders, by their suffix, in order.

    Hidden files and folders are left out. Linked folders are followed, but not in
    circles.

    Args:
        folder (str or Path): The folder.

    Raises:
        MissingFile: If there is no such folder.
        UserError: If it has no image.
    """
    if not Path(folder).is_dir():
        raise MissingFile(f'there is no folder {folder}')
    files, visited = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        visited.add(os.path.realpath(parent))
        folders[:] = [name for name in folders if name[0] != '.'
                      and os.path.realpath(os.path.join(parent, name)) not in visited]
        files += [Path(parent, name) for name in names
                  if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != '.']
    if not files:
        raise UserError(f'{folder} has no image that ends in '
                        f'{", ".join(IMAGE_SUFFIXES)}')
    return sorted(files)


def check_written_once(images: Iterable[str | Path], outputs: Iterable) -> None:
    """Raise if one image's output would be written over another's.

    Args:
        images (iterable): Paths of images.
        outputs (iterable): As what each is written.

    Raises:
        UserError: If two of them are the same.
    """
    written = {}
    for image, output in zip(images, outputs, strict=True):
        if output in written:
            raise UserError(f'{written[output]} and {image} would both be written as '
                            f'{output}: rename one, or write it elsewhere')
        written[output] = image


def existing_file(path: str | Path, what: str = 'file') -> Path:
    """A path whose file is there.

    Args:
        path (str or Path): The file.
        what (str): What it is, for the error. Defaults to ``'file'``.

    Raises:
        MissingFile: If it is not there.
    """
    if not Path(path).is_file():
        raise MissingFile(f'there is no {what} {path}')
    return Path(path)


def check_config_path(path: str) -> None:
    """Check that a config file exists, and that one in Python can be parsed.

    Args:
        path (str): The file.

    Raises:
        MissingFile: Names the existing configs whose names are nearest.
        UserError: Says where it is no Python.
    """
    if Path(path).is_file():
        if Path(path).suffix == '.py':
            try:
                compile(Path(path).read_bytes(), path, 'exec')
            except (SyntaxError, ValueError) as error:
                raise UserError(f'{path} is no config: {error}') from error
        return
    known = {}
    for folder, pattern in ((Path(CONFIGS), '**/*.py'),
                            (Path(__file__).parents[1] / '.mim' / CONFIGS,
                             '**/*.py'), (Path(path).parent, '*.py')):
        for config in sorted(folder.glob(pattern)):
            known.setdefault(config.name, config)
    near = difflib.get_close_matches(Path(path).name, known, n=3, cutoff=0.5)
    suggestion = ''.join(f'\n  {known[name]}' for name in near)
    raise MissingFile(
        f'There is no config {path}.' +
        (f' Did you mean:{suggestion}' if near else
         f' The configs of mmpose_wloss are in {CONFIGS}/.'))


def existing_checkpoint(path: str) -> None:
    """Check that a checkpoint is there, unless it is a URL.

    Raises:
        MissingFile: If it is not there.
    """
    if '://' not in path:
        existing_file(path, 'checkpoint')


def read_json(path: str | Path, what: str = 'file') -> Any:
    """Read a JSON file.

    Args:
        path (str or Path): The file.
        what (str): What it is, for errors. Defaults to ``'file'``.

    Raises:
        MissingFile: If it is not there.
        UserError: If it is no JSON; says where.
    """
    text = existing_file(path, what).read_bytes()
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no JSON {what}: {error}') from error
