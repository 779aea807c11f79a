"""What an error is about, where those who read a file do not say it."""

import difflib
import sys
import traceback
from collections.abc import Iterator
from types import FrameType

from .errors import UserError

REST = '(python -X dev -m mmpose_wloss … shows where)'


def sentence_for_user(error: Exception) -> str | None:
    """What a user is told of an error instead of a traceback.

    Args:
        error (Exception): As it was caught.

    Returns:
        str, optional: ``None`` where the error seems to be none that the user
        can mend.
    """
    if 'Original Traceback' in str(error):  # of a process that loads data
        return str(error).strip().splitlines()[-1].removeprefix(
            f'{UserError.__module__}.UserError: ')
    if isinstance(error, UserError):
        return str(error)
    return blame(error) or (
        str(error) if isinstance(error, (OSError, ImportError)) else None)


def blame(error: BaseException) -> str | None:
    """Name the config, checkpoint, annotation file or component of an error.

    MMEngine and MMPose read these without checks of their own. What they were
    busy with when the error came up, innermost first, says whose it is.

    Args:
        error (BaseException): As it was caught.

    Returns:
        str, optional: A line for the user; ``None`` where it is of none of these.
    """
    if 'mmengine' not in sys.modules:
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for about in _about(frame, error):
            return about
    if frames[-1].f_globals.get('__name__') == 'mmengine.runner.runner':
        return f'the config does not fit: {_reason(error)} {REST}'
    return None


def _about(frame: FrameType, error: BaseException) -> Iterator[str]:
    from mmengine.config import Config
    from mmengine.dataset import BaseDataset

    name, local = frame.f_code.co_name, frame.f_locals
    itself, results = local.get('self'), local.get('results')
    module = frame.f_globals.get('__name__')
    if module == 'mmengine.config.config':
        if name in ('_file2dict', 'fromfile'):
            yield f'the config {local["filename"]} cannot be read: {_reason(error)}'
        elif isinstance(itself, Config) and isinstance(
                error, (AttributeError, KeyError)):
            yield f'the config {itself.filename} has no {local.get("name")!r}'
    elif name == 'register_default_hooks' and not local.get('hook', True):
        yield (f'the config has default_hooks.{local["name"]}=None, which MMEngine '
               'takes of its own hooks alone. Name those to keep instead, in '
               'default_hooks=dict(_delete_=True, …)')
    elif (module, name) == ('torch.serialization', 'load'):
        yield f'{local["f"]} is cut off or no checkpoint: {_reason(error)}'
    elif (module, name) == ('torch.serialization', 'save'):
        yield f'{local["f"]} cannot be written; is the disk full? {_reason(error)}'
    elif module == 'mmengine.fileio.backends.local_backend' and name.startswith('put'):
        yield (f'{local["filepath"]} cannot be written; is the disk full? '
               f'{_reason(error)}')
    elif (module, name) == ('matplotlib.figure', 'savefig'):
        yield f'{local["fname"]} cannot be written: {_reason(error)}'
    elif module == 'mmengine.registry.build_functions' and 'obj_type' in local:
        yield _component(error, **{
            key: local.get(key) for key in ('obj_type', 'obj_cls', 'registry')})
    elif isinstance(results, dict) and 'img_path' in results:
        yield (f'{type(itself).__name__} fails on annotation {results.get("id")} of '
               f'the image {results["img_path"]}: {_other_joints(results)}'
               f'{_reason(error)}. Correct or remove it {REST}')
    elif name == 'loss' and isinstance(local.get('data_samples'), list):
        samples = [one for one in local['data_samples']
                   if 'keypoint_weights' in one.get('gt_instance_labels', ())]
        joints = [one.gt_instance_labels.keypoint_weights.shape[-1] for one in samples]
        if len(set(joints)) > 1:
            odd = min(joints, key=joints.count)
            sample = samples[joints.index(odd)]
            yield (f'annotation {sample.get("id")} of the image '
                   f'{sample.get("img_path")} has {odd} joints, others of its batch '
                   f'{max(joints, key=joints.count)}. Correct or remove it {REST}')
    elif getattr(itself, 'anno_file', None):  # COCO's annotations and evaluation
        yield (f'{itself.anno_file[0]} cannot be evaluated: {_reason(error)}. Each '
               'annotation needs a number as id, and the same joints as the others '
               f'in keypoints; correct the file {REST}')
    elif isinstance(itself, BaseDataset) and hasattr(itself, 'ann_file'):
        empty = name == '_serialize_data'
        yield (f'{itself.ann_file} cannot be read by {type(itself).__name__}: '
               f'{"it has nobody with a box and keypoints; " * empty}{_reason(error)}. '
               'Correct the file, or name one that holds people in the format of this '
               f'data set {REST}')


def _other_joints(sample: dict) -> str:
    found = len(sample['keypoints'][0]) if 'keypoints' in sample else 0
    needed = len(sample.get('flip_indices') or ())
    return f'it has {found} joints and the data set {needed}; ' * (
        0 < found != needed > 0)


def _component(error: BaseException, obj_type, obj_cls, registry) -> str:
    if obj_cls is not None:
        return (f'{obj_cls.__name__} cannot be built as the config says: '
                f'{_reason(error)} {REST}')
    known = set()
    while registry is not None:
        known |= set(registry.module_dict)
        registry = registry.parent
    near = difflib.get_close_matches(str(obj_type), known, n=2)
    return f'the config names {obj_type}, which is not registered. ' + (
        f'Did you mean {" or ".join(near)}?' if near else
        'Add the module that registers it to custom_imports')


def _reason(error: BaseException) -> str:
    """The class and the message of an error, in a line."""
    # what MMEngine says of a failed import is a screen long
    if isinstance(error, ImportError) and error.__cause__ is not None:
        error = error.__cause__
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:300]}'.rstrip(': .')
