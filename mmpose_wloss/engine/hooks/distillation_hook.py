from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmpose.registry import HOOKS

from ...common.errors import UserError
from ...common.hooks import model_of, progress_of
from ...common.state_dicts import check_same_model
from ...compat.private_api import is_resuming
from ...datasets import UnlabeledPoseDataset
from ...datasets.wrapped_datasets import walk_datasets
from ...models.distillers import FastPoseDistiller
from ...models.distillers.frozen_teacher import FrozenTeacher
from ...models.wrapped_networks import save_networks


@HOOKS.register_module()
class DistillationHook(Hook):
    """Looks after the teacher and the student of a :class:`FastPoseDistiller`.

    It refuses a teacher whose joints have other names than those of the data, and to
    resume with another student or teacher. With ``teacher_decay`` it lets what the
    teacher teaches fall to 0. At the end of the training it writes the
    student as a plain stock checkpoint: ``student.pth`` in the work directory, with
    its config ``student.py``.
    """

    @staticmethod
    def _model(runner) -> FastPoseDistiller:
        model = model_of(runner)
        if not isinstance(model, FastPoseDistiller):
            raise UserError('DistillationHook is for FastPoseDistiller, but '
                            f'the model is a {type(model).__name__}')
        return model

    def before_train(self, runner) -> None:
        """Compare the names of joints, as far as the teacher has names."""
        model = self._model(runner)
        model.hook_ran = True
        self._load_teacher(runner)
        if not model.has_teacher:
            return
        for teacher in getattr(model.teacher, 'teachers', [model.teacher]):
            self._compare_joints(runner, teacher)

    def _load_teacher(self, runner) -> None:
        """Load a teacher that teaches unlabeled samples alone before the first one."""
        model = self._model(runner)
        if model.unlabeled_weight > 0 and any(
                isinstance(each, UnlabeledPoseDataset)
                for each in walk_datasets(runner.train_dataloader.dataset)):
            model.load_teacher()

    @staticmethod
    def _compare_joints(runner, teacher: FrozenTeacher) -> None:
        ours, theirs = ((meta or {}).get('keypoint_id2name') for meta in (
            getattr(runner.train_dataloader.dataset, 'metainfo', None),
            teacher.meta.get('dataset_meta')))
        if not ours or not theirs:
            return
        mapping = teacher.keypoint_mapping
        differing = [
            f'{theirs.get(there)!r} ({there}) of the teacher is '
            f'{ours.get(here)!r} ({here}) of the data'
            for there, here in mapping or zip(ours, ours, strict=True)
            if theirs.get(there) != ours.get(here)]
        if differing and mapping is None:
            raise UserError(
                f'{len(differing)} of {len(ours)} joints differ, first '
                f'{"; ".join(differing[:3])}. Say which are the same: '
                'keypoint_mapping=[(joint of the teacher, joint of the data), …]')
        if differing:
            runner.logger.warning('keypoint_mapping joins joints of other names: ' +
                                  '; '.join(differing))

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Say how much the teacher teaches now."""
        model = self._model(runner)
        if model.teacher_decay:
            now, end = progress_of(runner, batch_idx)
            model.teaching = 1 - now / end

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note who teaches."""
        model = self._model(runner)
        if model.has_teacher:
            checkpoint.setdefault('meta', {})['teacher'] = dict(
                checkpoint=str(model.teacher_checkpoint),
                digest=model.teacher.digest)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to resume with another student or teacher.

        A training may start from a stock checkpoint of the student, too.
        """
        if not is_resuming(runner):
            state = checkpoint.get('state_dict', checkpoint)
            if not any(key.startswith('student.') for key in state):
                checkpoint['state_dict'] = {
                    f'student.{key}': value for key, value in state.items()}
            return
        check_same_model(runner, checkpoint, 'with the same student only')
        model = self._model(runner)
        self._load_teacher(runner)
        before = checkpoint.get('meta', {}).get('teacher')
        if (before is not None and model.has_teacher
                and before['digest'] != model.teacher.digest):
            raise UserError(
                f'a training resumes with the same teacher only, but the weights of '
                f'{before["checkpoint"]} are not those of {model.teacher_checkpoint}. '
                'Set another work_dir to begin anew, or load_from and no --resume to '
                'start from these weights')

    def after_train(self, runner) -> None:
        """Write the student as a stock checkpoint."""
        if is_main_process():
            folder = Path(runner.work_dir)
            save_networks(runner, ['student'], folder, 'student.py')
            runner.logger.info(
                f'Student written to {folder / "student.pth"}, with its '
                'config student.py')
