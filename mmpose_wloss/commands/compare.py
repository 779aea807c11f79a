"""Models side by side: what they reach and what they cost."""

import contextlib
import copy
import functools
import hashlib
import json
import re
import statistics
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch import nn
from tqdm import tqdm

from ..common.configs import annotation_files
from ..common.errors import UserError
from ..common.files import write_whole
from ..deploy.export import OutputNetwork, export_model
from ..deploy.images import input_size
from ..deploy.network import OnnxNetwork, import_package
from ..engine.speed import alternating_speeds
from ..evaluation.functional.tables import (
    COUNTS,
    PARTS,
    markdown_table,
    people_split_table,
)
from ..models.wrapped_networks import load_network, stock_checkpoint, write_checkpoint
from ..preflight import check_config_path, check_data_files
from ..visualization.accuracy_cost import ModelPoint, draw_accuracy_cost

FORMAT_VERSION = 1
# those of MMEngine's operators that multiply and add; norms and interpolation
# are not counted by convention
MULTIPLY_ADDS = ('conv', 'linear', 'addmm', 'matmul', 'bmm', 'einsum')
# where no config says what its best checkpoint is chosen by
MAIN_FIGURES = ('PCK', 'PCKh', 'coco/AP', 'AP', 'AUC', 'NME', 'EPE', 'MPJPE')
# a table of all that some metrics give would be too wide
MOST_FIGURES = 9
# what is measured of each model, in this order
MEASURES = ('network', 'figures', 'onnx')
ROUNDS = 3
CHECKPOINT, ONNX = 'model.pth', 'model.onnx'


class Candidate(NamedTuple):
    """A model to compare.

    Args:
        name (str): Its name in the table.
        config (str): Path of its config.
        checkpoint (str): Path or address of its checkpoint.
    """

    name: str
    config: str
    checkpoint: str


def parse_candidates(pairs: Sequence[str], names: Sequence[str] | None = None
                     ) -> list[Candidate]:
    """Understand models as a command line names them.

    Args:
        pairs (Sequence[str]): ``CONFIG:CHECKPOINT`` of each. Paths may have
            colons: of several readings, that is taken whose files exist.
        names (Sequence[str], optional): Their names. Defaults to ``None``: the
            configs', with the checkpoints' where that leaves two alike.

    Returns:
        list[Candidate]: The models, in this order.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If one is no pair, or names are missing or alike.
    """
    files = [_parse_pair(pair) for pair in pairs]
    if not names:
        stems = [Path(config).stem for config, _ in files]
        names = [stem if stems.count(stem) == 1 else
                 f'{stem} {Path(checkpoint).parent.name}/'
                 f'{Path(checkpoint).stem}'
                 for stem, (_, checkpoint) in zip(stems, files, strict=True)]
    if len(names) != len(files):
        raise ValueError(f'--name must name each of the {len(files)} models, '
                         f'but there are {len(names)} names')
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f'two models are called {", ".join(twice)}: give each '
                         'a name of its own by --name')
    return [Candidate(name, *pair)
            for name, pair in zip(names, files, strict=True)]


def _parse_pair(pair: str) -> tuple[str, str]:
    readings = [(pair[:colon.start()], pair[colon.end():])
                for colon in re.finditer(':', pair)]
    readings = [reading for reading in readings if all(reading)]
    if not readings:
        raise ValueError(f'a model must be CONFIG:CHECKPOINT, but it is {pair}')
    for config, checkpoint in readings:
        if Path(config).is_file() and (
                '://' in checkpoint or Path(checkpoint).is_file()):
            return config, checkpoint
    for config, checkpoint in readings:
        if Path(config).is_file():
            raise FileNotFoundError(f'there is no checkpoint {checkpoint}')
    given = [config for config, _ in readings if config.endswith('.py')]
    check_config_path((given or [readings[-1][0]])[0])
    raise FileNotFoundError(f'there is no model {pair}')


class ModelComparison:
    """Measures models, and writes a table, a JSON file and a picture.

    What is measured is kept in the JSON file, by digests of config,
    checkpoint and test annotations: interrupted, it goes on where it was, and
    a model that was compared before is not evaluated again.

    Args:
        candidates (Sequence[Candidate]): The models.
        out (str): Folder for table, JSON file, picture, and a folder of each
            model with its checkpoint, its ONNX file and the logs.
        options (dict, optional): Keys of all configs to change. Defaults to
            none.
        seconds (float): How long to measure each speed, in three rounds.
            Defaults to 5.
        batch_size (int): Images of a batch whose speed is measured. Defaults
            to 1.
        onnx (bool): Whether to export and measure ONNX files. Defaults to
            ``True``: if onnx and onnxruntime are installed.

    Attributes:
        notes (list[str]): What the table lacks, in sentences.

    Raises:
        FileNotFoundError: If data of a model's test are not there.
        ValueError: If a config has no test.
    """

    def __init__(self, candidates: Sequence[Candidate], out: str,
                 options: dict | None = None, seconds: float = 5.,
                 batch_size: int = 1, onnx: bool = True):
        if seconds <= 0 or batch_size < 1:
            raise ValueError('--seconds must be above 0 and --batch-size at '
                             f'least 1, but they are {seconds} and {batch_size}')
        self.out = Path(out)
        self.candidates = list(candidates)
        self.configs = [self._config(each, options or {})
                        for each in self.candidates]
        self.digests = [
            _digest(config, candidate.checkpoint)
            for config, candidate in zip(self.configs, self.candidates,
                                         strict=True)]
        self.seconds = seconds
        self.batch_size = batch_size
        self.notes: list[str] = []
        if onnx:
            try:
                import_package('onnx')
                import_package('onnxruntime')
            except UserError as error:
                onnx = False
                self.notes.append(f'Without the columns of ONNX: {error}.')
        self.onnx = onnx
        content = self._read()
        self.known: dict[str, dict] = content.get('measured', {})
        self.speeds: dict = content.get('speeds', {})

    @property
    def json_file(self) -> Path:
        """Where the figures are."""
        return self.out / 'models.json'

    @staticmethod
    def _config(candidate: Candidate, options: dict) -> Config:
        config = Config.fromfile(candidate.config)
        config.merge_from_dict(dict(options))
        for key in ('test_dataloader', 'test_evaluator'):
            if not config.get(key):
                raise ValueError(f'{candidate.config} has no {key}: there is '
                                 'nothing to evaluate it on')
        check_data_files(config, ['test'])
        return config

    def _read(self) -> dict:
        if not self.json_file.exists():
            return {}
        try:
            content = json.loads(self.json_file.read_text())
            if content['format'] == FORMAT_VERSION:
                return content
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f'{self.json_file} is not what this tool wrote ({error!r}): '
                'take another folder by --out, or remove it') from error
        raise ValueError(
            f'{self.json_file} has format {content["format"]}, but this '
            f'version writes {FORMAT_VERSION}: take another folder by --out')

    def run(self) -> None:
        """Measure what is not known yet.

        Speeds are measured in turn, at the end, so that what else the machine
        does meets all models alike. A progress bar goes to stderr, and so does
        what is logged.
        """
        measures = MEASURES if self.onnx else MEASURES[:-1]
        with contextlib.redirect_stdout(sys.stderr), tqdm(
                total=len(measures) * len(self.candidates) + 1,
                unit='step') as bar:
            for candidate, config, digest in zip(
                    self.candidates, self.configs, self.digests, strict=True):
                self._complete(candidate, config, digest, measures, bar)
            bar.set_description('speed')
            if not self._speeds_are_known():
                self.speeds = self._speeds()
                self._keep()
            bar.update()

    def _complete(self, candidate: Candidate, config: Config, digest: str,
                  measures: Sequence[str], bar: tqdm) -> None:
        row = self.known.setdefault(digest, {})
        missing = [key for key in measures if key not in row]
        folder = self._folder(candidate, digest)
        files = dict(network=folder / CHECKPOINT, onnx=folder / ONNX)
        missing += [key for key, file in files.items()
                    if key in measures and key not in missing
                    and not file.exists() and 'missing' not in row[key]]
        bar.update(len(measures) - len(missing))
        if not missing:
            return
        model, stock = load_network(config, candidate.checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
        functions = dict(
            network=lambda: self._network(model, stock, files['network']),
            figures=lambda: evaluate(stock, files['network'], folder),
            onnx=lambda: self._export(model, stock, files['onnx']))
        for key in sorted(missing, key=MEASURES.index):
            bar.set_description(f'{candidate.name}: {key}')
            row[key] = functions[key]()
            row.update(config=candidate.config,
                       checkpoint=candidate.checkpoint)
            self._keep()
            bar.update()

    def _folder(self, candidate: Candidate, digest: str) -> Path:
        return self.out / f'{_file_name(candidate.name)}_{digest[:8]}'

    def _keep(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        write_whole(self.json_file, json.dumps(dict(
            format=FORMAT_VERSION, compared=dict(zip(
                [each.name for each in self.candidates], self.digests,
                strict=True)), measured=self.known, speeds=self.speeds),
            indent=1))

    @staticmethod
    def _network(model: nn.Module, config: Config, checkpoint: Path) -> dict:
        meta = dict(dataset_meta=model.dataset_meta) if getattr(
            model, 'dataset_meta', None) else {}
        write_checkpoint(stock_checkpoint(model.state_dict(), meta, config),
                   checkpoint)
        best = ((config.get('default_hooks') or {}).get('checkpoint')
                or {}).get('save_best')
        return dict(
            parameters=sum(each.numel() for each in model.parameters()),
            gmacs=multiply_adds(model) / 1e9,
            input_size=list(input_size(model)),
            bytes=checkpoint.stat().st_size,
            main=best[0] if isinstance(best, list) and best else best)

    @staticmethod
    def _export(model: nn.Module, config: Config, file: Path) -> dict:
        try:
            export = export_model(model, config, file)
        except TypeError as error:  # neither heatmaps nor SimCC
            return dict(missing=str(error))
        return dict(bytes=file.stat().st_size, difference=export.difference)

    def _settings(self) -> dict:
        return dict(batch_size=self.batch_size, seconds=self.seconds,
                    threads=torch.get_num_threads(), onnx=self.onnx)

    def _speeds_are_known(self) -> bool:
        return (self.speeds.get('settings') == self._settings() and
                set(self.digests) <= self.speeds['models'].keys())

    def _speeds(self) -> dict:
        """Images per second of all models, in PyTorch and as ONNX."""
        runs = {}
        for candidate, config, digest in zip(
                self.candidates, self.configs, self.digests, strict=True):
            model, _ = load_network(config, candidate.checkpoint)
            width, height = input_size(model)
            images = torch.randn(self.batch_size, 3, height, width)
            runs[digest, 'pytorch'] = functools.partial(
                OutputNetwork(model).eval(), images)
            if self.onnx and 'missing' not in self.known[digest]['onnx']:
                runs[digest, 'onnx'] = functools.partial(OnnxNetwork(
                    self._folder(candidate, digest) / ONNX,
                    threads=torch.get_num_threads()), images)
        with torch.inference_mode():
            speeds = alternating_speeds(runs, self.batch_size,
                                        self.seconds / ROUNDS, ROUNDS)
        models = {digest: {} for digest in self.digests}
        for (digest, kind), rounds in speeds.items():
            models[digest][kind] = statistics.median(rounds)
        return dict(settings=self._settings(), models=models)

    @property
    def rows(self) -> list[dict]:
        """What is known of each model, in their order."""
        return [dict(self.known[digest], name=candidate.name,
                     speed=self.speeds['models'][digest])
                for candidate, digest in zip(self.candidates, self.digests,
                                             strict=True)]

    def table(self) -> str:
        """The comparison in Markdown, with the notes below."""
        rows = self.rows
        figures = list(dict.fromkeys(
            name for row in rows for name in table_figures(row)))
        columns = {
            'parameters (M)': lambda row: row['network']['parameters'] / 1e6,
            'GMACs': lambda row: row['network']['gmacs'],
            **{name: lambda row, name=name: row['figures'].get(name)
               for name in figures},
            'checkpoint (MB)': lambda row: row['network']['bytes'] / 1e6,
            'ONNX (MB)': lambda row: row['onnx'].get('bytes', 0) / 1e6 or None,
            'PyTorch (images/s)': lambda row: row['speed']['pytorch'],
            'ONNX (images/s)': lambda row: row['speed'].get('onnx')}
        if not self.onnx:
            columns = {name: column for name, column in columns.items()
                       if 'ONNX' not in name}
        cells = [['model', *columns]] + [
            [row['name'], *(_written(column(row))
                            for column in columns.values())] for row in rows]
        settings = self.speeds['settings']
        notes = [
            f'Speed of the network alone, on the CPU: batch size '
            f'{settings["batch_size"]}, threads: {settings["threads"]}.',
            *self.notes,
            *(f'{row["name"]} has no ONNX file: {row["onnx"]["missing"]}.'
              for row in rows if self.onnx and 'missing' in row['onnx'])]
        text = markdown_table(cells) + '\n\n' + '\n'.join(notes) + '\n'
        for row in rows:
            split = people_split_table(row['figures'])
            if split:
                text += f'\n{row["name"]}:\n\n{split}\n'
        return text

    def write(self) -> dict[str, Path]:
        """Write table and picture beside the JSON file.

        Returns:
            dict[str, Path]: The files, by what they are. There is no picture
            where the models have no figure in common.
        """
        self._keep()
        files = dict(table=self.out / 'models.md', figures=self.json_file)
        write_whole(files['table'], self.table())
        rows = self.rows
        main = next((name for name in table_figures(rows[0])
                     if all(name in row['figures'] for row in rows)), None)
        if main is not None:
            files['picture'] = self.out / 'models.png'
            draw_accuracy_cost([ModelPoint(
                row['name'], row['figures'][main], row['network']['gmacs'],
                row['speed']['pytorch'], row['speed'].get('onnx'))
                for row in rows], files['picture'], main)
        return files


def multiply_adds(model: nn.Module) -> int:
    """Multiply-adds of convolutions and matrices for one image.

    Args:
        model (nn.Module): A stock pose estimator in evaluation mode.

    Returns:
        int: The number, as MMEngine's analysis counts it.
    """
    width, height = input_size(model)
    analysis = FlopAnalyzer(OutputNetwork(model).eval(),
                            torch.zeros(1, 3, height, width))
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # of tracing
        counted = analysis.by_operator()
    return int(sum(counted[name] for name in MULTIPLY_ADDS))


def evaluate(config: Config, checkpoint: Path, folder: Path
             ) -> dict[str, float]:
    """Test a stock checkpoint as ``tools/test.py`` does.

    Args:
        config (Config): Its stock config.
        checkpoint (Path): The checkpoint.
        folder (Path): Work directory.

    Returns:
        dict[str, float]: The figures of the config's own evaluators.
    """
    config = copy.deepcopy(config)
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper',
                'param_scheduler', 'auto_scale_lr', 'val_dataloader',
                'val_cfg', 'val_evaluator'):
        config.pop(key, None)
    # of one name there is one in a process, with its first folder
    config.experiment_name = folder.name
    config.setdefault('visualizer', ConfigDict(type='PoseLocalVisualizer'))
    config.visualizer.name = folder.name
    config.update(work_dir=str(folder), load_from=str(checkpoint),
                  resume=False)
    config.setdefault('test_cfg', {})
    figures = Runner.from_cfg(config).test()
    return {name: float(value) for name, value in figures.items()}


def table_figures(row: dict) -> list[str]:
    """The figures of a model that a table shows, the main one first.

    Args:
        row (dict): What is known of the model.

    Returns:
        list[str]: Their names, without those of parts of the samples.
    """
    names = [name for name in row['figures']
             if name not in COUNTS and not any(
                 f'{part}/' in name for part in PARTS)]
    main = next((name for name in (row['network']['main'], *MAIN_FIGURES)
                 if name in names), None)
    return sorted(names, key=lambda name: name != main)[:MOST_FIGURES]


def _digest(config: Config, checkpoint: str) -> str:
    digest = hashlib.sha256(config.pretty_text.encode())
    files = annotation_files(config.test_dataloader.dataset)
    for file in (*files, Path(checkpoint)):
        if file.is_file():
            with open(file, 'rb') as content:
                while block := content.read(1 << 20):
                    digest.update(block)
        else:
            digest.update(str(file).encode())
    return digest.hexdigest()


def _written(value: float | None) -> str:
    """Four digits, more before the point."""
    # COCO writes -1 where there is nothing to measure
    if value is None or value == -1:
        return '–'
    return f'{value:.4g}' if abs(value) < 1e4 else f'{value:.0f}'


def _file_name(name: str) -> str:
    return re.sub(r'[^\w.=-]+', '_', name)
