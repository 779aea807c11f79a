"""Annotations in COCO's format: read once, copied where they are changed."""

from weakref import WeakValueDictionary

from mmengine.fileio import get_local_path
from xtcocotools.coco import COCO

from ...common.files import existing_file

# of a name, a time and a size, as long as somebody holds them
_read: WeakValueDictionary = WeakValueDictionary()


def read_annotations(file: str) -> COCO:
    """Annotations of a file, which all who ask for them share.

    A file that was written anew is read anew. Who changes them, or loads results,
    takes :func:`copied_annotations`.

    Args:
        file (str): The file, as MMEngine's file backends name it.

    Raises:
        MissingFile: If it is not there.
    """
    with get_local_path(file) as path:
        state = existing_file(path, 'annotation file').stat()
        key = file, state.st_mtime_ns, state.st_size
        annotations = _read.get(key)
        if annotations is None:
            annotations = _read[key] = COCO(str(path))
    return annotations


def copied_annotations(coco: COCO, images: list[dict] | None = None,
                       annotations: list[dict] | None = None) -> COCO:
    """Annotations that can be changed without changing others.

    Args:
        coco (COCO): The others.
        images (list[dict], optional): Which of its images. Defaults to all.
        annotations (list[dict], optional): Which of its annotations. Defaults to all.
    """
    if images is None:
        images = coco.dataset['images']
    if annotations is None:
        annotations = coco.dataset['annotations']
    copied = COCO()
    copied.anno_file = list(coco.anno_file)
    copied.dataset = dict(coco.dataset, images=images,
                          annotations=[dict(one) for one in annotations])
    copied.createIndex()
    return copied
