"""Several trainings side by side, each a process of its own."""

import hashlib
import json
import math
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import Config
from tqdm import tqdm

from .common.configs import annotation_files, change_config
from .common.errors import UserError

# A training ends with whoever started it: two that write into one folder would
# spoil each other. (A killed process cannot stop its children itself.)
RUN_MODULE = [sys.executable, '-c', '''
import os, runpy, sys, threading, time

def end_with_parent(parent=os.getppid()):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)
''']
TRAIN = [*RUN_MODULE, 'mmpose_wloss', 'train']


class TrainingFailed(UserError):
    """A training ended with an error, whose log the message names."""


class Training:
    """One training, which goes on where it was interrupted.

    Args:
        config (str): Path of the config, which trains by epochs.
        root (str): Below it lies the training's folder, whose name ends in a
            digest of the config, of the annotations and of ``after``.
        options (dict, optional): Keys of the config to change.
        name (str, optional): What the folder's name begins with; by default
            the config's.
        after (Training, optional): The one whose checkpoint this takes.
        processes (int): How many train together, each with a GPU if there is one.
        checkpoint_key (str, optional): The config's key that takes the checkpoint of
            ``after``; by default this starts from it. ``None``: the config itself
            names what it takes from there.

    Attributes:
        config (Config): The config with the options merged.
        epochs (int): How many epochs it asks for.
        work_dir (Path): Where checkpoints and logs go.

    Raises:
        UserError: If the config does not train by epochs.
    """

    def __init__(self, config: str, root: str, options: dict | None = None,
                 name: str | None = None, after: 'Training | None' = None,
                 processes: int = 1, checkpoint_key: str | None = 'load_from'):
        self.config = Config.fromfile(str(config))
        change_config(self.config, options)
        self.epochs = (self.config.get('train_cfg') or {}).get('max_epochs')
        if not self.epochs:
            raise UserError(f'{config}: train_cfg must have max_epochs, by '
                            'which a training is known to be done')
        # pretty_text takes seconds where there are long lists
        digest = hashlib.sha256(json.dumps(
            self.config.to_dict(), sort_keys=True, default=str).encode())
        for file in annotation_files(self.config.train_dataloader.dataset):
            digest.update(file.read_bytes())
        if after is not None:
            digest.update(after.work_dir.name.encode())
        if processes > 1:
            digest.update(f'{processes} processes'.encode())
        self.work_dir = Path(
            root, f'{name or Path(config).stem}_{digest.hexdigest()[:8]}')
        self.after = after
        self.checkpoint_key = checkpoint_key
        self.processes = processes
        self.process = self.started = None

    def start(self, threads: int) -> None:
        """Start the process with so many threads of computation."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        if self.after is not None and self.checkpoint_key:
            self.config.merge_from_dict(
                {self.checkpoint_key: str(self.after.checkpoint()[1])})
        file = self.work_dir / 'config.py'
        self.config.dump(str(file))
        command = [*TRAIN, str(file), '--work-dir', str(self.work_dir)]
        resumed = self._checkpoint_to_resume()
        if resumed is not None:
            command += ['--resume', str(resumed)]
        if self.processes > 1:
            command = [
                *RUN_MODULE, 'torch.distributed.run', '--standalone',
                f'--nproc_per_node={self.processes}', '--no_python', *command,
                '--launcher', 'pytorch']
        with open(self.work_dir / 'output.txt', 'a') as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, 'OMP_NUM_THREADS': str(threads)})
        self.started = time.monotonic()

    def _checkpoint_to_resume(self) -> Path | None:
        """The newest checkpoint whose writing and validation were not cut off.

        MMEngine saves before it validates, and a resumed training does not make up
        for it. Where there is no other checkpoint, the figure is missing.
        """
        there = {_epoch_of(file): file for file in self.work_dir.glob('epoch_*.pth')
                 if zipfile.is_zipfile(file)}
        validated, loop = self._validated(), self.config.train_cfg
        begin, interval = loop.get('val_begin', 1), loop.get('val_interval', 1)
        whole = [epoch for epoch in there if epoch in validated or (
            epoch < self.epochs and (epoch < begin or epoch % interval))]
        others = [epoch for epoch in there if epoch < self.epochs]
        return there.get(max(whole or others, default=None))

    def _validated(self) -> set[int]:
        """Epochs whose validation ended, and whose best checkpoint is no part of one.

        MMEngine logs a validation before it writes the best checkpoint.
        """
        return self.validations().keys() - {
            _epoch_of(file) for file in self.work_dir.glob('best_*_epoch_*.pth')
            if not zipfile.is_zipfile(file)}

    def running(self) -> bool:
        """Whether the process runs; raises :class:`TrainingFailed`."""
        status = self.process.poll()
        if status:
            lines = (self.work_dir / 'output.txt').read_text().splitlines()
            raise TrainingFailed(
                f'Training {self.work_dir.name} failed. Its last lines, from '
                f'{self.work_dir / "output.txt"}:\n' + '\n'.join(lines[-5:]))
        return status is None

    def stop(self) -> None:
        """End the process; the next start goes on from its last checkpoint."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def scalars(self) -> list[dict]:
        """What the logger wrote, over all interruptions, in order."""
        rows = []
        for file in sorted(self.work_dir.glob('*/vis_data/scalars.json')):
            for line in file.read_text().splitlines():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError:
                    continue  # the last line of an interrupted run
        return rows

    def validations(self) -> dict[int, dict[str, float]]:
        """The metrics after each validated epoch, by epoch."""
        return {row['step']: {key: value for key, value in row.items()
                              if key not in ('step', 'time', 'data_time')}
                for row in self.scalars() if 'epoch' not in row}

    def checkpoint(self) -> tuple[int, Path]:
        """Epoch and path of the best checkpoint, or of the last without ``save_best``.

        Of several metrics the first decides.
        """
        best = self.config.default_hooks.checkpoint.get('save_best') or ''
        metric = best if isinstance(best, str) else best[0]
        if metric == 'auto':
            metric = next(iter(self.validations()[self.epochs]))
        # each is better than those before; an interruption may leave some
        files = {_epoch_of(file): file for file in self.work_dir.glob(
                     f'best_{metric.replace("/", "_")}_epoch_*.pth')}
        return max(files.items(), default=(
            self.epochs, self.work_dir / f'epoch_{self.epochs}.pth'))

    def epoch(self) -> int:
        """The epoch that the log has come to."""
        return max((row['epoch'] for row in self.scalars() if 'epoch' in row),
                   default=0)

    def done(self) -> bool:
        """Whether the last epoch is validated and saved."""
        # MMEngine writes it again with a new best one
        return self.epochs in self._validated() and zipfile.is_zipfile(
            self.work_dir / f'epoch_{self.epochs}.pth')


def _epoch_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.rpartition('_')[2])


def run_trainings(trainings: Sequence[Training], processes: int = 2,
                  threads: int = 1, deadline: float = math.inf,
                  ended: Callable[[Training, float], None] = lambda *_: None
                  ) -> None:
    """Run trainings, some at a time, with a progress bar over their epochs.

    Interrupted, it stops them; called again, they go on.

    Args:
        trainings (Sequence[Training]): What to run, in this order; one that
            takes another's checkpoint waits until that is done.
        processes (int): How many run at a time.
        threads (int): Threads of computation of each.
        deadline (float): When, by ``time.monotonic()``, to start no more.
        ended (Callable): Called with each training as it ends and its seconds.

    Raises:
        TrainingFailed: If one ends with an error, or waits for one that is
            not to be run; the others are stopped.
    """
    waiting, active, finished = list(trainings), [], 0
    with tqdm(total=sum(training.epochs for training in trainings),
              unit='epoch', desc='training',
              mininterval=1 if sys.stderr.isatty() else 60) as bar:
        try:
            while waiting or active:
                if time.monotonic() > deadline:
                    waiting.clear()
                for training in list(waiting):
                    # validated, it may still write its best checkpoint
                    if len(active) < processes and training.after not in active and (
                            training.after is None or training.after.done()):
                        waiting.remove(training)
                        active.append(training)
                        training.start(threads)
                if waiting and not active:
                    raise TrainingFailed(f'{waiting[0].work_dir} waits for '
                                         f'{waiting[0].after.work_dir}, which is '
                                         'none of the trainings to run')
                for training in list(active):
                    if not training.running():
                        active.remove(training)
                        finished += training.epochs
                        ended(training, time.monotonic() - training.started)
                bar.n = finished + sum(training.epoch() for training in active)
                bar.refresh() if sys.stderr.isatty() else bar.update(0)
                time.sleep(1)
        finally:
            for training in active:
                training.stop()
