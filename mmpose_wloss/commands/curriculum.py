"""3D networks whose depth grows from one training to the next."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from tabulate import tabulate

from ..common.configs import is_of_class
from ..common.files import write_whole
from ..preflight import check_config_path, check_data_files, check_flip_test
from ..trainings import Training, run_trainings
from ..visualization.curves import draw_curves

FIGURES = {'MPJPE': 'MPJPE, mm', 'P-MPJPE': 'PA-MPJPE, mm'}
# what a stage starts anew: the volume layer grows by the head's depth_growth,
# and balances are of a stage's own terms
OWN = ('head.volume_layer.', 'head.balancer.')
REPORT = '''# Growing depth

Each stage starts from the checkpoint of the one before. Figures are of the
stage's checkpoint, on the validation set.

{table}

![MPJPE over the epochs]({picture})
'''


class WrongStages(ValueError):
    """A config that cannot start from the checkpoint of the one before."""


class Stage(Training):
    """One training of a :class:`Curriculum`.

    Attributes:
        d2 (int): Bins of depth.
        mode (str): Which terms the head learns.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        head = self.config.model.head
        self.d2 = head.decoder.heatmap_size[2]
        self.mode = head.get('mode', 'I1')

    @property
    def title(self) -> str:
        """What tables and pictures call it."""
        return f'd2 {self.d2}, {self.mode}'


class Curriculum:
    """Trainings of which each starts from the checkpoint of the one before.

    A stage that is done, its last epoch saved and validated, is not trained
    again; an interrupted one goes on. A stage lies in a folder named after
    its config and after all that came before it: where a config, an option or
    the annotations change, that stage and the later ones are trained anew.

    Before anything trains, all configs are checked.

    Args:
        configs (Sequence[str]): Paths of the configs, in order; each with an
            :class:`IntegralPose3DHead`.
        work_dir (str): Where the stages' folders and the report go.
        options (dict, optional): Keys to change in every config.
        processes (int): How many train a stage together, each with a GPU if
            there are any. Defaults to 1.

    Attributes:
        stages (list[Stage]): The trainings.

    Raises:
        WrongStages: If a config cannot start from the one before.
        MissingFile: If a config, or a file that it names, is not there.
    """

    def __init__(self, configs: Sequence[str], work_dir: str,
                 options: dict | None = None, processes: int = 1):
        loaded = []
        for path in configs:
            check_config_path(path)
            config = Config.fromfile(path)
            config.merge_from_dict(dict(options or {}))
            check_stage(config, path)
            check_flip_test(config)
            check_data_files(config, ['train', 'val'])
            loaded.append(config)
        check_stages(loaded, configs)
        self.work_dir = Path(work_dir)
        self.stages = []
        for number, path in enumerate(configs, start=1):
            self.stages.append(Stage(
                path, work_dir, options, f'{number}_{Path(path).stem}',
                after=self.stages[-1] if self.stages else None,
                processes=processes))

    def train(self, threads: int = 1) -> None:
        """Train what is not trained yet.

        Args:
            threads (int): Threads of computation of each process. Defaults to
                1.

        Raises:
            TrainingFailed: If a training ends with an error.
        """
        missing = [stage for stage in self.stages if not stage.done()]
        if missing:
            run_trainings(missing, processes=1, threads=threads)

    def rows(self) -> list[dict]:
        """What came of each stage."""
        rows = []
        for stage in self.stages:
            epoch, checkpoint = stage.checkpoint()
            figures = stage.validations()[epoch]
            rows.append(dict(
                config=stage.config.filename, d2=stage.d2, mode=stage.mode,
                epochs=stage.epochs, epoch=epoch,
                **{name: figures.get(name) for name in FIGURES},
                checkpoint=str(checkpoint),
                starts_from=rows[-1]['checkpoint'] if rows else
                stage.config.get('load_from')))
        return rows

    def table(self) -> str:
        """What came of each stage, as Markdown."""
        return tabulate(
            [[number, row['d2'], row['mode'], row['epochs'], row['epoch'],
              *(row[name] for name in FIGURES), row['checkpoint']]
             for number, row in enumerate(self.rows(), start=1)],
            ['stage', 'd2', 'mode', 'epochs', 'checkpoint of epoch',
             *FIGURES.values(), 'checkpoint'],
            tablefmt='github', floatfmt='.1f', missingval='-')

    def write_report(self) -> Path:
        """Write ``curriculum.md``, ``.json`` and ``.png``.

        Returns:
            Path: The ``.md``.
        """
        curves, before = {}, 0
        for number, stage in enumerate(self.stages, start=1):
            curve = {before + epoch: figures['MPJPE'] for epoch, figures
                     in stage.validations().items() if 'MPJPE' in figures}
            if curve:
                curves[f'{number}: {stage.title}'] = [curve]
            before += stage.epochs
        picture = self.work_dir / 'curriculum.png'
        draw_curves(curves, str(picture), 'Validation MPJPE, stage by stage',
                    'MPJPE, mm', 'epoch of all stages')
        write_whole(self.work_dir / 'curriculum.json', json.dumps(
            dict(format=1, stages=self.rows()), indent=1) + '\n')
        report = self.work_dir / 'curriculum.md'
        write_whole(report, REPORT.format(
            table=self.table(), picture=picture.name))
        return report


def check_stage(config: Config, path: str) -> None:
    """Check that a config trains a 3D head, by epochs.

    Raises:
        WrongStages: If it does not.
    """
    head = (config.get('model') or {}).get('head') or {}
    if not is_of_class(head, 'IntegralPose3DHead'):
        raise WrongStages(
            f'{path}: model.head is {head.get("type")}, but the stages of a '
            'curriculum have an IntegralPose3DHead')
    if not (config.get('train_cfg') or {}).get('max_epochs'):
        raise WrongStages(f'{path}: train_cfg has no max_epochs, by which a '
                          'stage is known to be done')


def check_stages(configs: Sequence[Config], paths: Sequence[str]) -> None:
    """Check that each config can start from the checkpoint of the one before.

    Args:
        configs (Sequence[Config]): The configs, in order.
        paths (Sequence[str]): What errors call them.

    Raises:
        WrongStages: If depth does not grow, or if a model has other weights
            than the one before; names both configs.
    """
    before = None
    for config, path in zip(configs, paths, strict=True):
        # the numbers are thrown away
        with DefaultScope.overwrite_default_scope('mmpose'), \
                torch.random.fork_rng(devices=[]):
            model = MODELS.build(config.model)
        if before is not None:
            _check_pair(*before, model, path)
        before = model, path


def _check_pair(before: torch.nn.Module, before_path: str,
                after: torch.nn.Module, after_path: str) -> None:
    depths = [model.head.decoder.depth_size for model in (before, after)]
    pair = (f'{after_path} has d2 = {depths[1]}, and {before_path}, the stage '
            f'before it, d2 = {depths[0]}')
    if depths[1] < depths[0]:
        raise WrongStages(f'{pair}: depth must not shrink from stage to '
                          'stage. Give the configs in the order of their d2')
    if depths[0] != depths[1] and after.head.depth_growth is None:
        raise WrongStages(f"{pair}: set model.head.depth_growth to 'random' "
                          f"or 'interpolate' in {after_path}")
    shapes = [_shapes(model, depth) for model, depth in zip(
        (before, after), depths, strict=True)]
    wrong = [f'{key} is {shapes[0].get(key, "not there")} before and '
             f'{shapes[1].get(key, "not there")} after'
             for key in dict.fromkeys([*shapes[0], *shapes[1]])
             if shapes[0].get(key) != shapes[1].get(key)]
    if wrong:
        more = f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise WrongStages(
            f'{after_path} cannot start from a checkpoint of {before_path}, '
            'the stage before it, as their networks differ in more than '
            f'depth: {"; ".join(wrong[:3])}{more}')


def _shapes(model: torch.nn.Module, d2: int) -> dict[str, tuple]:
    shapes = {key: tuple(value.shape) for key, value
              in model.state_dict().items() if not key.startswith(OWN)}
    layer = model.head.volume_layer
    shapes['head.volume_layer, per bin of depth,'] = (
        layer.out_channels // d2, layer.in_channels)
    return shapes

