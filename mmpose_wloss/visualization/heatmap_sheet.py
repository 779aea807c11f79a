from pathlib import Path

from matplotlib.figure import Figure

from .predictions import Prediction


def draw_heatmap_sheet(predictions: dict[str, list[Prediction]],
                       path: str) -> None:
    """Draw each model's heatmaps, the highest of all joints at each pixel.

    White rings mark the true joints; every heatmap has the same colours.

    Args:
        predictions (Dict[str, List[Prediction]]): By the model's name, on the
            same persons.
        path (str): The picture's path.
    """
    persons = next(iter(predictions.values()))
    figure = Figure(figsize=(1.6 * len(persons) + 0.8,
                             1.75 * (1 + len(predictions))),
                    layout='constrained')
    grid = figure.subplots(1 + len(predictions), len(persons), squeeze=False)
    for axes, person in zip(grid[0], persons, strict=True):
        axes.imshow(person.crop)
    for row, (name, found) in enumerate(predictions.items(), start=1):
        for axes, person in zip(grid[row], found, strict=True):
            height, width = person.crop.shape[:2]
            image = axes.imshow(
                person.heatmaps.max(0), cmap='inferno', vmin=0, vmax=1,
                extent=(0, width, height, 0))
            axes.plot(*person.truth[person.visible].T, 'o', markersize=4,
                      markerfacecolor='none', markeredgecolor='white',
                      markeredgewidth=0.6)
            axes.set(xlim=(0, width), ylim=(height, 0))
        grid[row][0].set_ylabel(name)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=grid[1:], shrink=0.7, label='heatmap value')
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
