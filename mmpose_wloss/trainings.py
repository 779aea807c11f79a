"""Several trainings side by side, each a process of its own."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS
from tqdm import tqdm

# A training ends with whoever started it: two that write into one folder would
# spoil each other. (A killed process cannot stop its children itself.)
END_WITH_PARENT = '''
import os, threading, time

def end_with_parent(parent=os.getppid()):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
'''
TRAIN_TOOL = END_WITH_PARENT + '''
from mmpose_wloss.preflight import run_tool
run_tool("train")
'''
# it starts the processes of one training
LAUNCH_TOOL = END_WITH_PARENT + '''
from torch.distributed.run import main
main()
'''


def annotation_files(config: Config) -> list[Path]:
    """The annotations that a config trains on, each file once, in order."""
    return list(dict.fromkeys(
        _annotation_files(config.train_dataloader.dataset)))


def _annotation_files(dataset: ConfigDict) -> Iterator[Path]:
    wrapped = [dataset.dataset] if dataset.get('dataset') else []
    for each in (*wrapped, *(dataset.get('datasets') or ())):
        yield from _annotation_files(each)
    for name in ('ann_file', 'extended_ann_file'):
        files = dataset.get(name) or []
        for file in [files] if isinstance(files, str) else files:
            yield Path(dataset.get('data_root') or '', file)


def _epoch_of(checkpoint: Path) -> int:
    """The epoch in the name of a checkpoint."""
    return int(re.fullmatch(r'epoch_(\d+)\.pth', checkpoint.name)[1])


class TrainingFailed(RuntimeError):
    """A training ended with an error, whose log the message names."""


class Training:
    """One run of ``tools/train.py``, which goes on where it was interrupted.

    Args:
        config (str): Path of the config.
        root (str): Below it lies the training's folder, whose name ends in a
            digest of the config and of the annotations: a training of anything
            else has another folder.
        options (dict): Keys of the config to change. Defaults to none.
        name (str): What the folder's name begins with. Defaults to the
            config's.
        after (Training, optional): The one whose checkpoint this takes. It
            counts for the digest: after another one it is another training.
            Defaults to ``None``: as the config says.
        checkpoint_key (str): The key of the config that takes the checkpoint
            of ``after``. Defaults to ``'load_from'``: this starts from it.
        processes (int): How many train together, each with a GPU if there are
            any. Defaults to 1.

    Attributes:
        config (Config): The config with the options merged.
        epochs (int): How many epochs it asks for.
        work_dir (Path): Where checkpoints and logs go.
    """

    def __init__(self, config: str, root: str, options: dict | None = None,
                 name: str | None = None, after: 'Training | None' = None,
                 processes: int = 1, checkpoint_key: str = 'load_from'):
        self.config = Config.fromfile(str(config))
        self.config.merge_from_dict(dict(options or {}))
        self.epochs = self.config.train_cfg.max_epochs
        digest = hashlib.sha256(self.config.pretty_text.encode())
        for file in annotation_files(self.config):
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
        self.process = None
        self.started = None

    def start(self, threads: int) -> None:
        """Start the process with so many threads of computation."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self._point_to_what_is_there()
        self._forget_unvalidated()
        if self.after is not None:
            self.config.merge_from_dict(
                {self.checkpoint_key: str(self.after.checkpoint()[1])})
        file = self.work_dir / 'config.py'
        self.config.dump(str(file))
        command = [sys.executable, '-c', TRAIN_TOOL, str(file), '--work-dir',
                   str(self.work_dir)]
        if (self.work_dir / 'last_checkpoint').exists():
            # with nothing to resume, it would drop load_from
            command.append('--resume')
        if self.processes > 1:
            command = [
                sys.executable, '-c', LAUNCH_TOOL, '--standalone',
                f'--nproc_per_node={self.processes}', '--no_python', *command,
                '--launcher', 'pytorch']
        with open(self.work_dir / 'output.txt', 'a') as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, 'OMP_NUM_THREADS': str(threads)})
        self.started = time.monotonic()

    def _kept(self) -> dict[int, Path]:
        """The checkpoints by epoch, without one whose writing was cut off."""
        return {_epoch_of(file): file
                for file in self.work_dir.glob('epoch_*.pth')
                if zipfile.is_zipfile(file)}

    def _point_to_what_is_there(self) -> None:
        """Take the newest checkpoint if the last one is gone.

        MMEngine removes an old checkpoint before it writes the next one and
        says that this is the last.
        """
        pointer = self.work_dir / 'last_checkpoint'
        if not pointer.exists() or Path(pointer.read_text().strip()).is_file():
            return
        kept = self._kept()
        if kept:
            pointer.write_text(str(kept[max(kept)]))
        else:
            pointer.unlink()

    def _forget_unvalidated(self) -> None:
        """Take the last checkpoint back if its validation was interrupted.

        MMEngine saves before it validates, and does not make up for it when it
        resumes; so the epoch is trained again.
        """
        pointer = self.work_dir / 'last_checkpoint'
        if not pointer.exists():
            return
        loop = self.config.train_cfg
        checkpoint = Path(pointer.read_text().strip())
        last = _epoch_of(checkpoint)
        due = last == self.epochs or (
            last >= loop.get('val_begin', 1)
            and last % loop.get('val_interval', 1) == 0)
        if not due or last in self.validations():
            return
        kept = self._kept()
        earlier = [epoch for epoch in kept if epoch < last]
        if earlier:
            pointer.write_text(str(kept[max(earlier)]))
        elif last == self.epochs:
            pointer.unlink()
        else:
            return  # one figure is not worth all epochs so far
        checkpoint.unlink()

    def running(self) -> bool:
        """Whether the process runs.

        Raises:
            TrainingFailed: If it ended with an error.
        """
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
        return {
            row['step']: {
                key: value for key, value in row.items()
                if key not in ('step', 'time', 'data_time')
            } for row in self.scalars() if 'epoch' not in row
        }

    def checkpoint(self) -> tuple[int, Path]:
        """What a training that is done ends with.

        Returns:
            tuple[int, Path]: Epoch and checkpoint: the best if the config has
            ``save_best``, of several metrics by the first; else the last.
        """
        last = self.epochs, self.work_dir / f'epoch_{self.epochs}.pth'
        config = self.config.default_hooks.checkpoint
        if not config.get('save_best'):
            return last
        validations = self.validations()
        hook = HOOKS.build(config)
        metric = hook.key_indicators[0]
        if metric == 'auto':
            metric = next(iter(validations[self.epochs]))
            hook = HOOKS.build(dict(config, save_best=metric))
        best = None
        for epoch, figures in sorted(validations.items()):
            # interrupted, it may have left some that were the best once
            file = self.work_dir / (
                f"best_{metric.replace('/', '_')}_epoch_{epoch}.pth")
            if file.exists() and (
                    best is None or hook.is_better_than[metric](
                        figures[metric], validations[best[0]][metric])):
                best = epoch, file
        return best or last

    def epoch(self) -> int:
        """The epoch that the log has come to."""
        return max((row['epoch'] for row in self.scalars() if 'epoch' in row),
                   default=0)

    def done(self) -> bool:
        """Whether the last epoch is validated and saved."""
        return (self.epochs in self.validations() and
                (self.work_dir / f'epoch_{self.epochs}.pth').exists())


def run_trainings(trainings: Sequence[Training],
                  processes: int = 2,
                  threads: int = 1,
                  deadline: float | None = None,
                  ended: Callable[[Training, float], None] = lambda *_: None
                  ) -> None:
    """Run trainings, some at a time, with a progress bar over their epochs.

    Interrupted, it stops them; called again, they go on.

    Args:
        trainings (Sequence[Training]): What to run, in this order; one that
            takes another's checkpoint waits until that is done.
        processes (int): How many run at a time.
        threads (int): Threads of computation of each.
        deadline (float, optional): Value of ``time.monotonic()`` from which
            on no further training is started.
        ended (Callable): Called with each training as it ends and the seconds
            that this run of it took.

    Raises:
        TrainingFailed: If one ends with an error, or waits for one that is
            not to be run; the others are stopped.
    """
    waiting = list(trainings)
    active: list[Training] = []
    finished = 0
    with tqdm(total=sum(training.epochs for training in trainings),
              unit='epoch', desc='training',
              mininterval=1 if sys.stderr.isatty() else 60) as bar:
        try:
            while waiting or active:
                while waiting and len(active) < processes:
                    if deadline is not None and time.monotonic() > deadline:
                        waiting.clear()
                        break
                    ready = next((each for each in waiting
                                  if each.after is None or each.after.done()),
                                 None)
                    if ready is None:
                        break
                    waiting.remove(ready)
                    active.append(ready)
                    ready.start(threads)
                if waiting and not active:
                    raise TrainingFailed(
                        f'{waiting[0].work_dir} takes the checkpoint of '
                        f'{waiting[0].after.work_dir}, which is not done and '
                        'is none of the trainings to run')
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
