import os
from pathlib import Path


def write_whole(path: str, text: str) -> None:
    """Write a file; a failed write leaves an old one whole.

    Args:
        path (str): The file.
        text (str): What it is to hold.
    """
    path = Path(path)
    partial = path.with_name(f'{path.name}.partial')
    partial.write_text(text)
    os.replace(partial, path)
