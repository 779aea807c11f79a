"""Tables of figures in Markdown."""

from collections.abc import Mapping

PARTS = dict(single_person='one person', multi_person='several people')
COUNTS = ('samples', 'images')


def markdown_table(cells: list[list[str]]) -> str:
    """A Markdown table that also reads well as it is.

    Args:
        cells (list[list[str]]): Rows of cells, the head first; the first
            column is text, the others are numbers.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ['| ' + ' | '.join(
        cell.rjust(width) if index else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)))
        + ' |' for row in cells]
    rule = ['-' * (width + 1) + (':' if index else '-')
            for index, width in enumerate(widths)]
    return '\n'.join([lines[0], '|' + '|'.join(rule) + '|', *lines[1:]])


def people_split_table(figures: Mapping[str, float]) -> str | None:
    """:func:`people_split_cells` as a Markdown table."""
    cells = people_split_cells(figures)
    return cells and markdown_table(cells)


def people_split_cells(figures: Mapping[str, float]) -> list[list[str]] | None:
    """Figures of images with one person and with several, side by side.

    Args:
        figures (Mapping[str, float]): What :class:`PeopleSplitMetric`
            computed, also among other figures.

    Returns:
        list[list[str]] | None: Rows, the head first; ``None`` where no figure is of a
        part.
    """
    parts = {label: {name.replace(f'{part}/', '', 1): value
                     for name, value in figures.items() if f'{part}/' in name}
             for part, label in PARTS.items()}
    columns = [name for name in figures
               if any(name in values for values in parts.values())]
    if not columns:
        return None
    counts = [name for name in columns if name.rpartition('/')[2] in COUNTS]
    columns = dict.fromkeys([*counts, *columns])
    cells = [['images of', *columns]]
    for label, values in dict(all=figures, **parts).items():
        cells.append([label, *(
            '–' if name not in values else
            format(values[name], '.0f' if name in counts else '.4g')
            for name in columns)])
    return cells
