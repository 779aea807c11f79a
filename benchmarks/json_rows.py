"""Results as JSON, one row a line: a changed row is a changed line."""

import json
from pathlib import Path
from typing import Any

from mmpose_wloss.common.files import write_whole

RESULTS = Path(__file__).resolve().parent / 'results'


def results_file(name: str, device: object) -> Path:
    """Where figures of a device go, such as ``balancers_cuda.json``."""
    return RESULTS / f'{name}_{str(device).partition(":")[0]}.json'


def write_rows(path: Path, content: dict | list, levels: int = 2) -> None:
    """Write results; a failed write leaves an old file whole.

    Args:
        path (Path): The file. Its folder is made.
        content (dict or list): What JSON can hold.
        levels (int): Dicts down to this depth have an entry a line, if they
            hold containers, and so have lists.
    """
    write_whole(path, (_text(content, levels) + '\n').encode())


def _text(value: Any, levels: int, indent: str = ' ') -> str:
    nested = isinstance(value, (dict, list)) and any(
        isinstance(each, (dict, list))
        for each in (value.values() if isinstance(value, dict) else value))
    if not levels or not nested:
        return json.dumps(value, ensure_ascii=False)
    below = levels - 1, indent + ' '
    if isinstance(value, dict):
        lines = [f'{json.dumps(str(key), ensure_ascii=False)}: '
                 f'{_text(each, *below)}' for key, each in value.items()]
        opening, closing = '{}'
    else:
        lines = [json.dumps(each, ensure_ascii=False) for each in value]
        opening, closing = '[]'
    separator = f',\n{indent}'
    return (f'{opening}\n{indent}{separator.join(lines)}\n'
            f'{indent[1:]}{closing}')
