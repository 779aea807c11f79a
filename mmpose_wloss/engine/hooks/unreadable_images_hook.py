import json
from collections import Counter
from pathlib import Path

from mmengine.dist import all_gather_object, get_rank, is_main_process
from mmengine.hooks import Hook
from mmpose.registry import HOOKS

from ...common.files import write_whole
from ...datasets.wrapped_datasets import walk_datasets

# under which a checkpoint keeps what was seen
INFO = 'unreadable_images'


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Tells which unlabeled images cannot be loaded.

    :class:`UnlabeledPoseDataset` takes the next image in the place of one that
    cannot be loaded. This hook warns of such a file when it is met for the first
    time. At the end of each epoch it logs how many files there are and in which
    share of the epoch's unlabeled samples another image came instead, and writes
    ``unreadable_images.json`` into the training's folder:

    - ``unreadable``: the number of files,
    - ``samples``: the number of unlabeled samples of the training so far,
    - ``replaced``: in how many of them another image came instead,
    - ``files``: how often each file was met.

    In a training by several processes, each meets its own files; the others' are
    added at the end of the epoch (in an iteration-based loop, of the training). A
    resumed training goes on counting.
    """

    # before the checkpoint of the epoch
    priority = 'NORMAL'

    def before_train(self, runner) -> None:
        """Take over what a resumed training has seen."""
        resumed = runner.message_hub.get_info(INFO) if runner.iter else None
        # changed in place, so that any checkpoint has it as it is
        self.seen = resumed or dict(samples=0, replaced=0, files={})
        runner.message_hub.update_info(INFO, self.seen)
        self._begin()
        for dataset in walk_datasets(runner.train_dataloader.dataset):
            if hasattr(dataset, 'reported'):
                dataset.reported = True

    def _begin(self) -> None:
        self.samples = self.replaced = 0
        self.files: Counter = Counter()

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Look for files that were passed over."""
        samples = [sample.metainfo for sample in data_batch['data_samples']
                   if not sample.metainfo.get('labeled', True)]
        files = [meta['unreadable_images'] for meta in samples
                 if 'unreadable_images' in meta]
        passed_over = Counter(file for each in files for file in each)
        self.samples += len(samples)
        self.replaced += len(files)
        self.files += passed_over
        self._add(runner, len(samples), len(files), passed_over)

    def _add(self, runner, samples: int, replaced: int, files: Counter) -> None:
        self.seen['samples'] += samples
        self.seen['replaced'] += replaced
        known = self.seen['files']
        for file, times in files.items():
            if file not in known:
                runner.logger.warning(f'The unlabeled image {file} cannot be loaded. '
                                      'The next one takes its place')
            known[file] = known.get(file, 0) + times

    def after_train_epoch(self, runner) -> None:
        """Add up what the processes have met, log it and write it."""
        met = all_gather_object((self.samples, self.replaced, self.files))
        for rank, each in enumerate(met):
            if rank != get_rank():
                self._add(runner, *each)
        samples, replaced = (sum(each[index] for each in met) for index in range(2))
        self._begin()
        files = self.seen['files']
        if files:
            # MMEngine shows no warning twice: this one has a number
            runner.logger.warning(
                f'Unlabeled images that cannot be loaded, after iteration '
                f'{runner.iter}: {len(files)}. In {replaced} of the {samples} '
                f'unlabeled samples of this epoch ({replaced / max(samples, 1):.2%}) '
                'another image came instead')
        if is_main_process():
            content = dict(dict(format=1, unreadable=len(files)), **dict(
                self.seen, files=dict(sorted(files.items()))))
            write_whole(Path(runner.work_dir, 'unreadable_images.json'),
                        json.dumps(content, indent=1) + '\n')
