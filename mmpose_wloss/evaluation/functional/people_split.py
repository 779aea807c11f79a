from collections.abc import Mapping

SINGLE, MULTI = 'single_person', 'multi_person'
PARTS = {SINGLE: 'one person', MULTI: 'several people'}
COUNTS = ('samples', 'images')


def people_split_table(figures: Mapping[str, float]) -> str | None:
    """Figures of images with one person and with several, side by side.

    Args:
        figures (Mapping[str, float]): What :class:`PeopleSplitMetric`
            computed, also among other figures.

    Returns:
        str | None: A Markdown table; ``None`` where no figure is of a part.
    """
    parts = {}
    for name, value in figures.items():
        for part in PARTS:
            before, found, after = name.partition(f'{part}/')
            if found and not before.strip('/').count('/'):
                parts.setdefault(part, {})[before + after] = value
    if not parts:
        return None
    names = [name for name in figures
             if any(name in values for values in parts.values())]
    counts = [name for name in names if name.rpartition('/')[2] in COUNTS]
    columns = counts + [name for name in names if name not in counts]
    cells = [['images of', *columns], ['all', *_cells(figures, columns)]]
    cells += [[PARTS[part], *_cells(parts.get(part, {}), columns)]
              for part in PARTS]
    return markdown_table(cells)


def _cells(values: Mapping[str, float], columns: list[str]) -> list[str]:
    return ['–' if name not in values else
            f'{values[name]:.0f}' if name.rpartition('/')[2] in COUNTS else
            f'{values[name]:.4g}' for name in columns]


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
