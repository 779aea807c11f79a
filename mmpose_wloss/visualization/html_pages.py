"""Pages of one file, which a browser shows without a network."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..common.files import write_whole


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write an HTML page; a failed write leaves an old one whole.

    Args:
        path (Path): The file.
        template (str): Name of a file in ``pages/``, whose filter ``picture`` puts
            a PNG file into the page.
        values: What the template names. All text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name('pages')), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters['picture'] = lambda file: (
        'data:image/png;base64,' + base64.b64encode(Path(file).read_bytes()).decode())
    write_whole(path, environment.get_template(template).render(**values).encode())
