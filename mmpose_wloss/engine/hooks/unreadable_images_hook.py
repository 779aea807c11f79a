import json
from collections import Counter
from pathlib import Path

from mmengine.dist import all_gather_object, get_rank, is_main_process
from mmengine.hooks import Hook
from mmpose.registry import HOOKS

from ...common.files import write_whole

# under which a checkpoint keeps what was seen
INFO = 'unreadable_images'


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Tells which unlabelled images cannot be loaded.

    :class:`UnlabeledPoseDataset` takes the next image in the place of one that
    cannot be loaded. This hook warns of such a file when it is met for the
    first time. At the end of each epoch it logs how many files there are and
    in which share of the epoch's unlabelled samples another image came
    instead, and writes ``unreadable_images.json`` into the training's folder:

    - ``unreadable``: the number of files,
    - ``samples``: the number of unlabelled samples of the training so far,
    - ``replaced``: in how many of them another image came instead,
    - ``files``: how often each file was met.

    In a training by several processes, each meets its own files; the others'
    are added at the end of the epoch (in an iteration-based loop, of the
    training). A resumed training goes on counting. ``tools/train.py`` adds
    this hook where a config has unlabelled images.
    """

    # before the checkpoint of the epoch
    priority = 'NORMAL'

    def before_train(self, runner) -> None:
        """Take over what a resumed training has seen.

        Args:
            runner (Runner): The runner of the training process.
        """
        resumed = runner.message_hub.get_info(INFO) if runner.iter else None
        # changed in place, so that any checkpoint has it as it is
        self.seen = resumed or dict(samples=0, replaced=0, files={})
        runner.message_hub.update_info(INFO, self.seen)
        self._begin()

    def _begin(self) -> None:
        self.samples = self.replaced = 0
        self.files: Counter = Counter()

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Look for files that were passed over.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict, optional): The batch.
        """
        samples = [sample for sample in data_batch['data_samples']
                   if not sample.metainfo.get('labeled', True)]
        files = [sample.metainfo['unreadable_images'] for sample in samples
                 if 'unreadable_images' in sample.metainfo]
        self.samples += len(samples)
        self.replaced += len(files)
        passed_over = Counter(file for each in files for file in each)
        self.files += passed_over
        self._add(runner, len(samples), len(files), passed_over)

    def _add(self, runner, samples: int, replaced: int,
             files: Counter) -> None:
        self.seen['samples'] += samples
        self.seen['replaced'] += replaced
        known = self.seen['files']
        for file, times in files.items():
            if file not in known:
                runner.logger.warning(
                    f'The unlabelled image {file} cannot be loaded. The next '
                    'one takes its place')
            known[file] = known.get(file, 0) + times

    def after_train_epoch(self, runner) -> None:
        """Add up what the processes have met, log it and write it.

        Args:
            runner (Runner): The runner of the training process.
        """
        met = all_gather_object((self.samples, self.replaced, self.files))
        for rank, each in enumerate(met):
            if rank != get_rank():
                self._add(runner, *each)
        samples = sum(each[0] for each in met)
        replaced = sum(each[1] for each in met)
        self._begin()
        files = self.seen['files']
        if files:
            # MMEngine shows no warning twice: this one has a number
            runner.logger.warning(
                'Unlabelled images that cannot be loaded, after iteration '
                f'{runner.iter}: {len(files)}. In {replaced} of the {samples} '
                f'unlabelled samples of this epoch '
                f'({replaced / max(samples, 1):.2%}) another image came '
                'instead')
        if is_main_process():
            write_whole(
                Path(runner.work_dir, 'unreadable_images.json'),
                json.dumps(dict(
                    format=1, unreadable=len(files),
                    samples=self.seen['samples'],
                    replaced=self.seen['replaced'],
                    files=dict(sorted(files.items()))), indent=1) + '\n')
