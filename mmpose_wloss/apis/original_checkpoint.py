"""Checkpoints that original codes wrote."""

import pickle
import zipfile

import torch

from ..common.errors import UserError
from ..common.files import existing_file


def read_original(path: str) -> dict:
    """A checkpoint of an original training, without running its code.

    Args:
        path (str): A checkpoint, or a state alone.

    Returns:
        dict: What it holds, with the state as ``state_dict`` by names without
        ``module.``.

    Raises:
        MissingFile: If there is no such file.
        UserError: If it is no checkpoint, or holds what could run code.
    """
    existing_file(path, 'checkpoint')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f'{path} holds more than tensors, numbers and text, and is not read, '
            'because that could run code. If you trust it, write its state_dict '
            'alone into a file, where it was trained: '
            "torch.save(dict(state_dict=torch.load(FILE)['state_dict']), OUT)"
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f'{path} is cut off or no checkpoint: {error}') from error
    if isinstance(content, dict) and content and all(
            isinstance(value, torch.Tensor) for value in content.values()):
        content = dict(state_dict=content)
    if not isinstance(content, dict) or not content.get('state_dict'):
        raise UserError(f'{path} has no state_dict: it is no checkpoint of '
                        'the original training')
    return dict(content, state_dict={
        name.removeprefix('module.'): value
        for name, value in content['state_dict'].items()})
