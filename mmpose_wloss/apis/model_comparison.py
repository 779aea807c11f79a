"""Models side by side: what they reach and what they cost."""

import contextlib
import copy
import hashlib
import json
import statistics
import sys
import warnings
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from math import nan
from pathlib import Path

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch import nn
from torch.utils.benchmark import Timer
from tqdm import tqdm

from ..common.checks import positive, whole
from ..common.configs import change_config
from ..common.errors import UserError
from ..common.files import digest_of_file, read_json, write_whole
from ..deploy import export_onnx, with_onnx_file
from ..deploy.export import OutputNetwork, UnsupportedOutputs
from ..deploy.images import input_size
from ..deploy.network import OnnxNetwork
from ..evaluation.functional.tables import (
    COUNTS,
    PARTS,
    markdown_table,
    people_split_cells,
    people_split_table,
)
from ..models.wrapped_networks import (
    TRAINING_KEYS,
    load_network,
    stock_checkpoint,
    write_checkpoint,
)
from ..preflight import check_files, named_files
from ..visualization.accuracy_cost import ModelPoint, draw_accuracy_cost
from ..visualization.html_pages import write_page

FORMAT_VERSION = 1
# those of MMEngine's operators that multiply and add; norms and interpolation
# are not counted by convention
MULTIPLY_ADDS = ('conv', 'linear', 'addmm', 'matmul', 'bmm', 'einsum')
# where no config says what its best checkpoint is chosen by
MAIN_FIGURES = ('PCK', 'PCKh', 'coco/AP', 'AP', 'AUC', 'NME', 'EPE', 'MPJPE')
# a table of all that some metrics give would be too wide
MOST_FIGURES = 9
ROUNDS = 3
CHECKPOINT, ONNX = 'model.pth', 'model.onnx'
NO_ONNX = ('Without the columns of ONNX: onnx and onnxruntime are not '
           'installed: pip install "onnx>=1.15" "onnxruntime>=1.17".')


class _Model:
    """A model with its config, and the folder of its files."""

    def __init__(self, name: str, config: str, checkpoint: str, options: dict,
                 out: Path):
        self.name, self.config_file, self.checkpoint = name, config, checkpoint
        self.is_onnx = self.checkpoint.endswith('.onnx')
        self.config = Config.fromfile(self.config_file)
        change_config(self.config, options)
        for key in ('test_dataloader', 'test_evaluator'):
            if not self.config.get(key):
                raise UserError(f'{self.config_file} has no {key}: there is '
                                'nothing to evaluate it on')
        check_files(self.config, ['test'])
        digest = hashlib.sha256(self.config.pretty_text.encode())
        named = [file for key in ('test_dataloader', 'test_evaluator')
                 for _, file, _ in named_files(self.config[key], key)]
        for file in (*named, Path(self.checkpoint)):
            digest.update((digest_of_file(file) if file.is_file()
                           else str(file)).encode())
        self.digest = digest.hexdigest()
        self.folder = out / f'{Path(self.config_file).stem}_{self.digest[:8]}'

    @cached_property
    def loaded(self) -> tuple[nn.Module, Config]:
        """The network with its weights, and its stock config."""
        return load_network(self.config, self.checkpoint)

    def network(self) -> dict:
        """The figure it is judged by, and what it costs without being run."""
        hook = (self.config.get('default_hooks') or {}).get('checkpoint') or {}
        best = hook.get('save_best')
        result = dict(main=best[0] if isinstance(best, list) and best else best)
        if self.is_onnx:
            return result
        (model, config), file = self.loaded, self.folder / CHECKPOINT
        write_checkpoint(stock_checkpoint(
            model.state_dict(), model.checkpoint_meta, config), file)
        return dict(
            result, parameters=sum(each.numel() for each in model.parameters()),
            gmacs=multiply_adds(model) / 1e9, input_size=list(input_size(model)),
            bytes=file.stat().st_size)

    def figures(self) -> dict[str, float]:
        """The figures of the config's own evaluators."""
        if self.is_onnx:
            return evaluate(with_onnx_file(self.config, self.checkpoint), None,
                            self.folder)
        return evaluate(self.loaded[1], self.folder / CHECKPOINT, self.folder)

    def onnx(self) -> dict:
        """Size of the ONNX file, or why there is none."""
        if self.is_onnx:
            return dict(bytes=Path(self.checkpoint).stat().st_size)
        file = self.folder / ONNX
        try:
            export = export_onnx(*self.loaded, file)
        except UnsupportedOutputs as error:
            return dict(missing=str(error))
        return dict(bytes=file.stat().st_size, difference=export.difference)


class ModelComparison:
    """Measures models, and writes a table, a JSON file and a picture.

    What is measured is kept in the JSON file, by digests of config,
    checkpoint and the files of the test: interrupted, it goes on where it was, and
    a model that was compared before is not evaluated again.

    Args:
        models (Sequence[tuple[str, str, str]]): The models: what to call each, its
            config, and its checkpoint or ONNX file.
        out (str): Folder for table, JSON file and picture, and for the
            checkpoint, the ONNX file and the logs of each model.
        options (dict, optional): Keys of all configs to change.
        seconds (float): How long to measure each speed, in three rounds.
        batch_size (int): Images of a batch whose speed is measured.
        onnx (bool): Measure ONNX files, too, if the packages are installed.

    Raises:
        MissingFile: If data of a model's test are not there.
        UserError: If a config has no test.
    """

    def __init__(self, models: Sequence[tuple[str, str, str]], out: str,
                 options: dict | None = None, seconds: float = 5.,
                 batch_size: int = 1, onnx: bool = True):
        positive(seconds=seconds)
        whole(1, batch_size=batch_size)
        self.out = Path(out)
        self.models = [_Model(*each, options or {}, self.out) for each in models]
        self.onnx = bool(onnx and find_spec('onnx') and find_spec('onnxruntime'))
        self.notes = [NO_ONNX] if onnx and not self.onnx else []
        self.settings = dict(batch_size=batch_size, seconds=seconds,
                             threads=torch.get_num_threads(), onnx=self.onnx)
        self.json_file = self.out / 'models.json'
        content = (read_json(self.json_file) if self.json_file.exists() else
                   dict(format=FORMAT_VERSION))
        if not (isinstance(content, dict) and content.get('format') == FORMAT_VERSION):
            raise UserError(f'{self.json_file} is not of format {FORMAT_VERSION}: '
                            'take another folder by --out')
        self.known: dict[str, dict] = content.get('measured', {})
        self.speeds: dict = content.get('speeds', {})

    def _keep(self) -> None:
        write_whole(self.json_file, json.dumps(dict(
            format=FORMAT_VERSION,
            compared={each.name: each.digest for each in self.models},
            measured=self.known, speeds=self.speeds), indent=1))

    def run(self) -> None:
        """Measure what is not known yet.

        Speeds are measured in turn, at the end, so that what else the machine
        does meets all models alike. Logs and a progress bar go to stderr.
        """
        keys = ['network', 'figures', 'onnx'][:2 + self.onnx]
        with contextlib.redirect_stdout(sys.stderr):
            for model in tqdm(self.models):
                if not model.folder.exists():
                    self.known[model.digest] = {}
                row = self.known.setdefault(model.digest, {})
                row.update(config=model.config_file, checkpoint=model.checkpoint)
                model.folder.mkdir(parents=True, exist_ok=True)
                for key in keys:
                    if key not in row:
                        row[key] = getattr(model, key)()
                        self._keep()
            digests = {each.digest for each in self.models}
            if (self.speeds.get('settings') != self.settings
                    or digests - self.speeds['models'].keys()):
                self.speeds = dict(settings=self.settings,
                                   models=self._measure_speeds())
                self._keep()

    def _measure_speeds(self) -> dict[str, dict[str, float]]:
        """Images per second of all models, in PyTorch and as ONNX."""
        networks, threads = {}, self.settings['threads']
        for each in self.models:
            file = each.checkpoint
            if not each.is_onnx:
                model, file = each.loaded[0], each.folder / ONNX
                networks[each.digest, 'pytorch'] = (OutputNetwork(model).eval(),
                                                    input_size(model))
            if self.onnx and 'missing' not in self.known[each.digest]['onnx']:
                network = OnnxNetwork(file, threads=threads)
                networks[each.digest, 'onnx'] = network, network.input_size
        count, times = self.settings['batch_size'], {key: [] for key in networks}
        timers = {key: Timer('network(images)', num_threads=threads, globals=dict(
            network=network, images=torch.randn(count, 3, *size[::-1])))
            for key, (network, size) in networks.items()}
        with torch.inference_mode():
            for _ in range(ROUNDS):
                for key, timer in timers.items():
                    times[key] += timer.blocked_autorange(
                        min_run_time=self.settings['seconds'] / ROUNDS).times
        models = {each.digest: {} for each in self.models}
        for (digest, kind), seconds in times.items():
            models[digest][kind] = count / statistics.median(seconds)
        return models

    @property
    def rows(self) -> list[dict]:
        """What is known of each model, in their order."""
        return [dict(self.known[each.digest], name=each.name,
                     speed=self.speeds['models'][each.digest])
                for each in self.models]

    def cells(self) -> list[list[str]]:
        """The comparison as rows of a table, the head first."""
        rows = self.rows
        # heading, part of a row, key, unit
        columns = [('parameters (M)', 'network', 'parameters', 1e6),
                   ('GMACs', 'network', 'gmacs', 1),
                   *dict.fromkeys((name, 'figures', name, 1) for row in rows
                                  for name in table_figures(row)),
                   ('checkpoint (MB)', 'network', 'bytes', 1e6),
                   ('ONNX (MB)', 'onnx', 'bytes', 1e6),
                   ('PyTorch (images/s)', 'speed', 'pytorch', 1),
                   ('ONNX (images/s)', 'speed', 'onnx', 1)]
        columns = [one for one in columns if self.onnx or 'ONNX' not in one[0]]
        return [['model', *(column[0] for column in columns)]] + [
            [row['name'], *(_written(row[part].get(key), unit)
                            for _, part, key, unit in columns)]
            for row in rows]

    def remarks(self) -> list[str]:
        """How speeds were measured, and what is missing."""
        return ['Speed of the network alone, on the CPU: batch size '
                '{batch_size}, threads: {threads}.'.format(**self.settings),
                *self.notes,
                *(f'{row["name"]} has no ONNX file: {row["onnx"]["missing"]}.'
                  for row in self.rows if self.onnx and 'missing' in row['onnx'])]

    def table(self) -> str:
        """The comparison in Markdown, with the remarks below."""
        text = markdown_table(self.cells()) + '\n\n' + '\n'.join(
            self.remarks()) + '\n'
        for row in self.rows:
            if split := people_split_table(row['figures']):
                text += f'\n{row["name"]}:\n\n{split}\n'
        return text

    def write(self) -> list[Path]:
        """Write tables and picture beside the JSON file, and return the files.

        There is no picture where the models have no figure in common.
        """
        self._keep()
        files = [self.out / 'models.md', self.json_file]
        write_whole(files[0], self.table())
        rows = self.rows
        main = next((name for name in table_figures(rows[0])
                     if all(name in row['figures'] for row in rows)), None)
        if main is not None:
            files.append(self.out / 'models.png')
            draw_accuracy_cost([ModelPoint(
                row['name'], row['figures'][main],
                row['network'].get('gmacs', nan), **row['speed'])
                for row in rows], files[-1], main)
        page = self.out / 'models.html'
        splits = {row['name']: people_split_cells(row['figures']) for row in rows}
        write_page(page, 'comparison.html', notes=self.remarks(), tables={
            'Models compared': self.cells(),
            **{name: cells for name, cells in splits.items() if cells}},
            picture=files[2] if main is not None else None)
        return [*files, page]


def multiply_adds(model: nn.Module) -> int:
    """Multiply-adds of convolutions and matrices of a stock pose estimator.

    Counted by MMEngine's analysis, for one image.
    """
    analysis = FlopAnalyzer(OutputNetwork(model).eval(),
                            torch.zeros(1, 3, *input_size(model)[::-1]))
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # of tracing
        counted = analysis.by_operator()
    return int(sum(counted[name] for name in MULTIPLY_ADDS))


def evaluate(config: Config, checkpoint: Path | None, folder: Path) -> dict[str, float]:
    """The figures of a model by its config's own evaluators, as of ``test``."""
    config = copy.deepcopy(config)
    for key in (*TRAINING_KEYS, 'val_dataloader', 'val_cfg', 'val_evaluator'):
        config.pop(key, None)
    # of one name there is one in a process, with its first folder
    config.experiment_name = folder.name
    config.setdefault('visualizer', ConfigDict(type='PoseLocalVisualizer'))
    config.visualizer.name = folder.name
    config.update(work_dir=str(folder),
                  load_from=None if checkpoint is None else str(checkpoint))
    config.setdefault('test_cfg', {})
    figures = Runner.from_cfg(config).test()
    return {name: float(value) for name, value in figures.items()}


def table_figures(row: dict) -> list[str]:
    """Names of a model's figures that the table shows, the main one first."""
    names = [name for name in row['figures']
             if name not in COUNTS and not any(
                 f'{part}/' in name for part in PARTS)]
    main = next((name for name in (row['network']['main'], *MAIN_FIGURES)
                 if name in names), None)
    return sorted(names, key=lambda name: name != main)[:MOST_FIGURES]


def _written(value: float | None, unit: float) -> str:
    """Four digits, more before the point."""
    # COCO writes -1 where there is nothing to measure
    if value is None or value == -1:
        return '–'
    value /= unit
    return f'{value:.4g}' if abs(value) < 1e4 else f'{value:.0f}'
