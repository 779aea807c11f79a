"""A study: trainings that differ in a few keys, over several seeds.

Each row is written to ``benchmarks/results/{name}.json`` as its training ends,
so a study can be cut off anywhere, goes on where it was, on another machine
too, and can be rerun row by row. Rows of one seed are pairs: they have the same
labels and the same first weights. Not a script itself; the studies beside it use
it.
"""

import argparse
import importlib
import json
import platform
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mmpose_wloss.common.configs import annotation_files
from mmpose_wloss.common.files import write_whole
from mmpose_wloss.trainings import Training, run_trainings
from mmpose_wloss.visualization import draw_curves

import numpy as np
from json_rows import write_rows
from mmengine.config import Config
from paired import Difference, difference
from precision import faster_precision
from same_data import is_same, summary_of
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
# of a report in a page
END = '<!-- end of rows -->'
PACKAGES = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmpose', 'mmpose_wloss')


class Study:
    """Trainings of one config, changed by options, over seeds.

    Args:
        name (str): Name of the study and of its results.
        config (str): Path of the config, relative to the repository.
        configurations (dict): The options of each configuration, by name.
        seeds (int or dict): How many seeds each configuration is trained
            with, or how many by its name.
        epochs (int): Epochs of each training.
        figures (dict): Which figures the table shows: heading by the metric's
            name. The first one is drawn over time. A configuration may lack
            some.
        scalars (Sequence[str]): What else of the training's log a row keeps,
            averaged over each epoch.
        inputs (dict, optional): What else the rows come from, to be kept with
            them; rows of other inputs do not count, but for rounding. It may be
            set later; by default, and until then, rows of any inputs count.
        comparisons (Sequence[tuple]): Configurations and what each is compared with,
            seed by seed, in the first figure or in a third item's.
        headrooms (dict): Lower and upper bound, two configurations, of all
            comparisons whose configuration's name begins with the key: what there
            is to win.

    Where the options of a configuration have a ``config``, it is trained
    instead of the study's. Where they have ``after``, the name of another
    one, it starts from that one's checkpoint of the same seed; where they
    have ``teacher``, it is taught by that one's checkpoint of the same seed, or
    of the only one. Where they have ``epochs``, it is trained so long. Where they
    have ``labels``, so many people are labeled, others for each seed: those from
    ``seed * labels`` on. Where they have ``seeds_from``, random numbers are those of
    the seed plus this, with the labels of the seed. Trained in float32 or bfloat16,
    whichever is faster on this machine; the row's ``precision`` tells.

    Attributes:
        ordinate (str, optional): What is drawn over time, where it is not what the
            table's first heading says.
        only (str): Regular expression of the configurations that are run.
    """

    ordinate = None
    only = ''

    def __init__(self, name: str, config: str, configurations: dict[str, dict],
                 seeds: int | dict[str, int], epochs: int,
                 figures: dict[str, str],
                 scalars: Sequence[str] = (), inputs: dict | None = None,
                 comparisons: Sequence[tuple[str, ...]] = (),
                 headrooms: dict[str, tuple[str, str]] | None = None,
                 tables: Sequence[Callable[['Study'], str]] = (),
                 page: str | None = None):
        self.name = name
        self.config = config
        self.configurations = configurations
        self.seeds = (seeds if isinstance(seeds, dict)
                      else dict.fromkeys(configurations, seeds))
        self.epochs = epochs
        self.figures = figures
        self.scalars = scalars
        self.inputs = inputs
        self.comparisons = comparisons
        self.headrooms = headrooms or {}
        self.tables = tables
        self.page = page and ROOT / page
        self.file = ROOT / 'benchmarks' / 'results' / f'{name}.json'
        # of several sets the first
        self.annotations = annotation_files(Config.fromfile(
            str(ROOT / config)).train_dataloader.dataset)[0]

    def rows(self) -> list[dict]:
        """The rows that are there."""
        if not self.file.exists():
            return []
        content = json.loads(self.file.read_text())
        return [dict(row, inputs=content['inputs'][row['inputs']])
                if 'inputs' in row else row for row in content['rows']]

    def add(self, row: dict) -> None:
        """Write one more row; a failed write leaves the old file whole."""
        rows, inputs = [*self.rows(), row], []
        for each in rows:
            if 'inputs' in each and each['inputs'] not in inputs:
                inputs.append(each['inputs'])
        write_rows(self.file, dict(
            format=3, study=self.name, config=self.config, data=self.data(),
            # long, and the same for most rows, which have their places
            inputs=inputs, rows=[
                dict(each, inputs=inputs.index(each['inputs']))
                if 'inputs' in each else each for each in rows]))

    def data(self) -> dict:
        """What is trained on: that of the rows, which is the same here.

        Raises:
            SystemExit: If the annotations here are others.
        """
        here = summary_of(self.annotations)
        if not self.file.exists():
            return here
        there = json.loads(self.file.read_text())['data']
        if not is_same(here, there):
            raise SystemExit(
                f'{self.file} holds rows on other people than '
                f'{self.annotations}: render the data set again, or move the '
                'file away to begin anew')
        return there

    def fits(self, row: dict) -> bool:
        """Whether a row is one of this study's, as it is defined now."""
        if row['seed'] >= self.seeds.get(row['configuration'], 0):
            return False
        options = self.configurations[row['configuration']]
        return (row['options'] == options and
                row['epochs'] == options.get('epochs', self.epochs) and
                row.get('teacher') == self.teacher_of(options) and
                (self.inputs is None or is_same(row.get('inputs'), self.inputs)))

    def teacher_of(self, options: dict) -> dict | None:
        """The options of the one that teaches, if there is one."""
        return (self.configurations[options['teacher']]
                if 'teacher' in options else None)

    def missing(self) -> list[tuple[str, int]]:
        """Configuration and seed of the rows that are not there yet."""
        there = {(row['configuration'], row['seed'])
                 for row in self.rows() if self.fits(row)}
        # seeds before more rows
        return [(name, seed) for name in self.configurations
                for seed in range(self.seeds[name])
                if (name, seed) not in there and re.search(self.only, name)]

    def run(self, minutes: float, processes: int) -> None:
        """Run the rows still missing within a time budget."""
        self.data()
        jobs = {}
        for name, seed in self.missing():
            job = training = self.training(name, seed)
            # what it starts from may be of a row, but not on this machine
            while (training := training.after) and not training.done():
                jobs.setdefault(training.work_dir, (training, None))
            jobs[job.work_dir] = (job, (name, seed))
        rows = [row for _, row in jobs.values() if row]
        print(f'{len(rows)} rows to train, of {sum(self.seeds.values())} of the study'
              + self.duration(rows, processes))

        def ended(training: Training, seconds: float) -> None:
            _, row = jobs[training.work_dir]
            if row is None:
                return
            name, seed = row
            validations = training.validations()
            self.add(dict(
                configuration=name, options=self.configurations[name],
                seed=seed, epochs=training.epochs,
                precision=self.precision(training.config),
                figures=validations[training.epochs],
                curve={epoch: figures.get(next(iter(self.figures)))
                       for epoch, figures in validations.items()},
                **self.epoch_means(training),
                **({'teacher': teacher} if (teacher := self.teacher_of(
                    self.configurations[name])) else {}),
                **(dict(inputs=self.inputs) if self.inputs else {}),
                seconds=round(seconds, 1), processes=processes,
                versions={package: importlib.import_module(package).__version__
                          for package in PACKAGES},
                python=platform.python_version()))
            print(f'\n{name}, seed {seed}: {seconds / 60:.1f} minutes')
            print(*self.headroom_lines(name), sep='\n')

        run_trainings([training for training, _ in jobs.values()], processes,
                      deadline=time.monotonic() + 60 * minutes, ended=ended)

    def duration(self, rows: Sequence[tuple[str, int]], processes: int) -> str:
        """How long rows will take, by those of their configurations that are there."""
        timed = {name: np.mean([row['seconds'] for row in there])
                 for name, there in self.by_configuration().items()}
        known = [timed[name] for name, _ in rows if name in timed]
        minutes = sum(known) / 60 / processes
        return (f'. {len(known)} of them take about {minutes:.0f} minutes, by the rows '
                'of their configurations')

    @staticmethod
    def precision(config: Config) -> str:
        """In what a training computes on this machine."""
        wrapper = config.optim_wrapper.get('type', 'OptimWrapper')
        return 'bfloat16' if wrapper.startswith('Bfloat16') else 'float32'

    def people(self, options: dict, seed: int) -> list[int] | None:
        """Take from a row's options who is labeled, as indices; ``None``: all."""
        labels = options.pop('labels', None)
        return labels and list(range(seed * labels, (seed + 1) * labels))

    def training(self, name: str, seed: int) -> Training:
        """The training of a row, after the one that it starts from."""
        options = dict(self.configurations[name])
        file = ROOT / options.pop('config', self.config)
        epochs = options.pop('epochs', self.epochs)
        people = self.people(options, seed)
        seeds_from = options.pop('seeds_from', 0)
        start, teacher = (options.pop(key, None) for key in ('after', 'teacher'))
        config = Config.fromfile(str(file))
        if people is not None:
            options[f'{labeled_data(config)}.indices'] = people
        config.merge_from_dict(dict(options))
        if faster_precision(config) == 'bfloat16':
            wrapper = config.optim_wrapper.get('type', 'OptimWrapper')
            options['optim_wrapper.type'] = (
                'Bfloat16' + wrapper.removeprefix('Bfloat16'))
        return Training(
            file, ROOT / 'work_dirs' / self.name, {
                'train_cfg.max_epochs': epochs,
                'param_scheduler.1.end': epochs,
                'randomness.seed': seeds_from + seed,
                **options
            }, re.sub(r'\W+', '_', f'{name}_{seed}'),
            after=(self.training(start, seed) if start else
                   self.training(teacher, min(seed, self.seeds[teacher] - 1))
                   if teacher else None),
            checkpoint_key=('model.teacher_checkpoint' if teacher
                            else 'load_from'))

    def epoch_means(self, training: Training) -> dict:
        """The kept scalars of the training's log by epoch, under one key."""
        values = {name: {} for name in self.scalars}
        for row in training.scalars():
            for name in values:
                if name in row and 'epoch' in row:
                    values[name].setdefault(row['epoch'], []).append(row[name])
        means = {name: {epoch: float(np.mean(of_epoch))
                        for epoch, of_epoch in epochs.items()}
                 for name, epochs in values.items() if epochs}
        return dict(scalars=means) if self.scalars else {}

    def by_configuration(self) -> dict[str, list[dict]]:
        """The rows of each configuration, in order."""
        fitting = [row for row in self.rows() if self.fits(row)]
        return {
            name: rows for name in self.configurations
            if (rows := [row for row in fitting if row['configuration'] == name])
        }

    def figures_of(self, row: dict) -> dict[str, float]:
        """The figures of a row that the table is made of, by the metric's name."""
        return row['figures']

    def table(self) -> str:
        """Mean and standard deviation over seeds, as Markdown."""
        lines = []
        for name, rows in self.by_configuration().items():
            line = [name, len(rows)]
            for figure in self.figures:
                values = [values[figure] for values in map(self.figures_of, rows)
                          if figure in values]
                if not values:
                    line.append('-')
                    continue
                spread = (f' ± {np.std(values, ddof=1):.3f}'
                          if len(values) > 1 else '')
                line.append(f'{np.mean(values):.3f}{spread}')
            lines.append(line)
        return tabulate(lines, ['configuration', 'seeds',
                                *self.figures.values()], tablefmt='github')

    def by_seed(self, name: str, figure: str | None = None) -> dict[int, float]:
        """A figure of a configuration's rows by seed, by default the first one."""
        figure = figure or next(iter(self.figures))
        return {row['seed']: values[figure] for row in self.rows()
                if row['configuration'] == name and self.fits(row)
                and figure in (values := self.figures_of(row))}

    def difference(self, name: str, baseline: str,
                   figure: str | None = None) -> Difference:
        """By how much a configuration is above another one, seed by seed."""
        return difference(self.by_seed(name, figure), self.by_seed(baseline, figure))

    def headroom(self, name: str, figure: str | None = None) -> Difference | None:
        """What there is to win for a configuration, where its bounds are there."""
        for prefix, (lower, upper) in self.headrooms.items():
            if name.startswith(prefix):
                found = self.difference(upper, lower, figure)
                return found if found.pairs else None
        return None

    def headroom_lines(self, name: str | None = None) -> list[str]:
        """Headroom and spread of the groups, or of that of a configuration."""
        lines = []
        for prefix, (lower, upper) in self.headrooms.items():
            if name is not None and not name.startswith(prefix):
                continue
            bounds = [list(self.by_seed(bound).values()) for bound in (lower, upper)]
            if not all(bounds):
                continue  # a bound has no row yet
            spread = (f', seeds of the lower one ± {np.std(bounds[0], ddof=1):.3f}'
                      if len(bounds[0]) > 1 else '')
            lines.append(
                f'{prefix.rstrip(", ") or "all"}: '
                f'from {np.mean(bounds[0]):.3f} ({lower}) to '
                f'{np.mean(bounds[1]):.3f} ({upper}): headroom '
                f'{np.mean(bounds[1]) - np.mean(bounds[0]):.3f}{spread}')
        return lines

    def differences(self) -> list[tuple[str, str, str, Difference]]:
        """What is compared, with what, in which figure's key, and by how much."""
        found = []
        for name, baseline, *figure in self.comparisons:
            key = figure[0] if figure else next(iter(self.figures))
            each = self.difference(name, baseline, key)
            if each.pairs:
                found.append((name, baseline, key, each))
        return found

    def table_of_differences(self) -> str:
        """Differences over pairs of rows, as Markdown."""
        lines = []
        for name, baseline, key, each in self.differences():
            line = [name, baseline, self.figures[key], each.pairs, str(each)]
            if self.headrooms:
                headroom = self.headroom(name, key)
                # a share of what may be nothing says nothing
                line.append(f'{each.mean / headroom.mean:.0%}'
                            if headroom and headroom.significant else '-')
            lines.append(line)
        headings = ['configuration', 'compared with', 'in', 'pairs',
                    'difference [95 %]', *['of the headroom'] * bool(self.headrooms)]
        return tabulate(lines, headings, tablefmt='github') if lines else ''

    def report(self) -> str:
        """What the rows say, as Markdown: figures, headroom, differences."""
        if not self.by_configuration():
            return 'Not measured yet.'
        parts = [self.table(), *self.headroom_lines(), self.table_of_differences(),
                 *(table(self) for table in self.tables)]
        return '\n\n'.join(part for part in parts if part)

    def page_with_report(self) -> str:
        """The page with the report of the rows that are there.

        Raises:
            ValueError: If the page has no place for it.
        """
        text, begin = self.page.read_text(), f'<!-- rows of {self.name} -->'
        before, found, after = text.partition(begin)
        _, ended, after = after.partition(END)
        if not (found and ended):
            raise ValueError(f'{self.page} lacks {begin} or {END} after it')
        return f'{before}{begin}\n\n{self.report()}\n\n{END}{after}'

    def write_page(self) -> None:
        """Write the report of the rows that are there into the page."""
        write_whole(self.page, self.page_with_report().encode())

    def draw(self, path: str, title: str, names: Sequence[str]) -> None:
        """Draw the first figure over time for some configurations."""
        rows = self.by_configuration()
        draw_curves(
            {name: [{int(epoch): value for epoch, value in row['curve'].items()}
                    for row in rows[name]] for name in names if name in rows},
            str(path), title, self.ordinate or next(iter(self.figures.values())))

    def main(self, picture: str | None = None, title: str = '',
             names: Sequence[str] = ()) -> None:
        """Parse the command line, run what is missing, show what is there."""
        parser = argparse.ArgumentParser(description=f'Study {self.name}')
        parser.add_argument(
            '--minutes', type=float, default=60,
            help='start no further training after so many minutes; 0 only '
            'shows what is there')
        parser.add_argument('--processes', type=int, default=2,
                            help='trainings at a time')
        parser.add_argument(
            '--only', default='', metavar='PATTERN',
            help='run only configurations whose names this regular expression is '
            'found in')
        args = parser.parse_args()
        self.only = args.only
        if args.minutes > 0:
            self.run(args.minutes, args.processes)
        print(self.report())
        if self.page:
            self.write_page()
        if picture is not None:
            self.draw(ROOT / picture, title, names)
            print(f'drawn: {picture}')


def labeled_data(config: Config) -> str:
    """The key of the data set that has labels: of several, the first."""
    key, dataset = 'train_dataloader.dataset', config.train_dataloader.dataset
    while inner := dataset.get('dataset') or dataset.get('datasets'):
        if isinstance(inner, list):
            key, dataset = f'{key}.datasets.0', inner[0]
        else:
            key, dataset = f'{key}.dataset', inner
    return key
