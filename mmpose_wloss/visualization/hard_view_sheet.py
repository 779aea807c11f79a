from pathlib import Path

from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmpose.registry import DATASETS, MODELS
from torch import Tensor

from ..common.configs import without_cache
from ..common.errors import UserError
from ..common.state_dicts import load_strictly
from ..models.hard_views import HardView
from ..models.wrapped_networks import read_checkpoint


def draw_hard_views(config: Config, path: str, checkpoint: str | None = None,
                    count: int = 8, seed: int = 0) -> None:
    """Draw what a semi-supervised training makes of unlabeled images.

    The first row shows easy views with joints that the first student's teacher
    predicts; each further row the hard views of one path, with these joints moved.

    Args:
        config (Config): Config of a :class:`PoseCons` or its kin.
        path (str): The picture's path.
        checkpoint (str, optional): Checkpoint of the training; without one the
            teachers have not learned anything.
        count (int): How many images at most.
        seed (int): Seed of what is drawn at random.

    Raises:
        UserError: If the config's model makes no hard views, or the checkpoint is of
            another one.
    """
    if 'hard_views' not in config.model:
        raise UserError(f'the model {config.model.type} makes no hard views: only '
                        'PoseCons, PoseDual and PoseTriple do')
    init_default_scope(config.get('default_scope', 'mmpose'))
    set_random_seed(seed)
    dataset = DATASETS.build(without_cache(config.train_dataloader.dataset))
    unlabeled = len(dataset.datasets[-1])
    first, count = len(dataset) - unlabeled, min(count, unlabeled)
    batch = pseudo_collate([dataset[first + index] for index in range(count)])
    model = MODELS.build(config.model).eval()
    if checkpoint:
        content = read_checkpoint(checkpoint)
        load_strictly(model, content.get('state_dict', content), checkpoint,
                      'Give a checkpoint of this training')
    data = model.data_preprocessor(batch, False)
    _, _, easy = model.teach(data['inputs'], data['data_samples'])
    rows = {'easy view': easy}
    for number, steps in enumerate(model.hard_views, start=1):
        names = ',\n'.join(type(step).__name__ for step in steps)
        rows[f'{number}. {names}'] = steps(easy)

    width, height = easy.size
    figure = Figure(figsize=(1.5 * count + 1, 1.55 * len(rows) * height / width),
                    layout='constrained')
    grid = figure.subplots(len(rows), count, squeeze=False)
    for row, (name, view) in zip(grid, rows.items(), strict=True):
        view = view.for_each_student()
        for index, (axes, joints) in enumerate(
                zip(row, view.moved_joints(), strict=False)):
            axes.imshow(pixels(view, index))
            axes.plot(*joints.T, 'o', markersize=3, color='#00ff66',
                      markeredgecolor='black', markeredgewidth=0.4)
            axes.set(xlim=(-.5, width - .5), ylim=(height - .5, -.5),
                     xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def pixels(view: HardView, index: int) -> Tensor:
    """An image of a view as RGB from 0 to 1, in shape [H, W, 3]."""
    image = view.image[index] * view.std + view.mean
    if not view.rgb:
        image = image.flip(0)
    return (image / 255).clamp(0, 1).permute(1, 2, 0)
