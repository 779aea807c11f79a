"""3D poses of images and of samples with a truth, as files to look at."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import mmcv
import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmpose.evaluation.functional import keypoint_mpjpe
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample
from tabulate import tabulate
from tqdm import tqdm

from ..common.files import write_whole
from ..visualization.poses_3d import PoseView, draw_pose_views
from ..visualization.skeleton import Skeleton
from .pose3d_image_inferencer import Pose3DImageInferencer, read_image

BATCH = 32


class Predictions(NamedTuple):
    """What came of predicting on images.

    Attributes:
        images (int): How many were predicted on.
        people (int): How many people are in them.
        failures (dict[str, str]): Why, by the image that has none.
    """
    images: int
    people: int
    failures: dict[str, str]


def predict_images(inferencer: Pose3DImageInferencer, images: Sequence[str],
                   out: str, boxes: Mapping | Sequence | None = None,
                   camera: Mapping | None = None,
                   root_depth: float | None = None,
                   kpt_thr: float = 0.) -> Predictions:
    """Predict on images, and write a JSON file and a picture of each.

    Args:
        inferencer (Pose3DImageInferencer): The model.
        images (Sequence[str]): Paths.
        out (str): JSON files go into ``predictions/`` of this folder,
            pictures into ``visualizations/``.
        boxes (Mapping | Sequence, optional): Boxes of every image, or those of
            each by its name, each [left, top, right, bottom]; an empty list
            without people. An image without an entry fails. Defaults to
            ``None``: those of a detector, or the whole images.
        camera (Mapping, optional): The camera of every image, or that of each
            by its name.
        root_depth (float, optional): Depth of all roots in mm.
        kpt_thr (float): Joints with a lower score are not drawn. Defaults to
            0.

    Returns:
        Predictions: Numbers, and the images that failed.

    Raises:
        ValueError: If boxes are given for images that are not there.
    """
    names = {Path(image).name for image in images}
    cameras = camera is not None and not {'f', 'c'} & set(camera)
    for what, given in (('boxes', boxes), ('cameras', cameras and camera)):
        unknown = sorted(set(given) - names) if isinstance(
            given, Mapping) else []
        if unknown:
            raise ValueError(
                f'there are {what} for {", ".join(unknown[:3])}, but no such '
                f'image: the images are {", ".join(sorted(names)[:3])}'
                f'{", …" if len(names) > 3 else ""}')
    people, failures = 0, {}
    for image in tqdm(images, unit='image', desc='predicting'):
        name = Path(image).name
        try:
            result, = inferencer(
                [str(image)], return_vis=True, draw_bbox=True,
                kpt_thr=kpt_thr, pred_out_dir=f'{out}/predictions',
                bboxes=None if boxes is None else [_of_name(
                    boxes, name, 'boxes', 'a list, empty without people')
                    if isinstance(boxes, Mapping) else boxes],
                camera=_of_name(camera, name, 'camera', '"f" and "c"')
                if cameras else camera,
                root_depth=root_depth)
        except (OSError, ValueError) as error:
            failures[str(image)] = str(error)
            continue
        people += len(result['predictions'][0])
        mmcv.imwrite(
            mmcv.rgb2bgr(result['visualization'][0]),
            f'{out}/visualizations/{Path(image).stem}.png')
    return Predictions(len(images) - len(failures), people, failures)


def _of_name(given: Mapping, name: str, what: str, content: str):
    if given.get(name) is None:
        raise ValueError(
            f'there is no entry for {name} in {what}: give {content}, for '
            'every image or below the name of each')
    return given[name]


class TruthSheet:
    """The first samples of a test set, predicted beside their truth.

    Args:
        inferencer (Pose3DImageInferencer): The model, and the config whose
            ``test_dataloader`` has the samples.
        count (int): How many samples.

    Attributes:
        samples (list[PoseDataSample]): With predictions.
        errors (list[dict]): Of each sample ``image``, ``id``, ``MPJPE`` and
            ``P-MPJPE`` in mm.

    Raises:
        ValueError: If count is below 1, or if the samples have no 3D truth.
    """

    def __init__(self, inferencer: Pose3DImageInferencer, count: int):
        if count < 1:
            raise ValueError(
                f'the number of samples must be at least 1, but is {count}')
        with DefaultScope.overwrite_default_scope('mmpose'):
            dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
        self.metainfo = dataset.metainfo
        self.samples = []
        indices = range(min(count, len(dataset)))
        for start in tqdm(indices[::BATCH], unit='batch', desc='predicting'):
            batch = inferencer.collate_fn(
                [dataset[index] for index in indices[start:start + BATCH]])
            with torch.no_grad():
                self.samples += inferencer.model.test_step(batch)
        if 'lifting_target' not in self.samples[0].gt_instances:
            raise ValueError(
                f'the samples of {type(dataset).__name__} in test_dataloader '
                'have no 3D truth: take a data set with 3D poses and pack '
                'them with PackPose3DInputs')
        self.errors = [self._errors(sample) for sample in self.samples]

    def _errors(self, sample: PoseDataSample) -> dict:
        truth = sample.gt_instances
        visible = np.asarray(truth.lifting_target_visible) > 0
        return dict(
            image=str(sample.metainfo['img_path']), id=sample.metainfo['id'],
            **{name: float(keypoint_mpjpe(
                sample.pred_instances.keypoints, truth.lifting_target,
                visible, alignment))
               for name, alignment in (('MPJPE', 'none'),
                                       ('P-MPJPE', 'procrustes'))})

    def table(self) -> str:
        """The error of each sample and their mean, as Markdown."""
        rows = [[Path(error['image']).name, error['id'], error['MPJPE'],
                 error['P-MPJPE']] for error in self.errors]
        rows.append(['mean', '', *(
            np.mean([error[name] for error in self.errors])
            for name in ('MPJPE', 'P-MPJPE'))])
        return tabulate(
            rows, ['image', 'sample', 'MPJPE, mm', 'PA-MPJPE, mm'],
            tablefmt='github', floatfmt='.1f')

    def write(self, out: str, kpt_thr: float = 0.) -> Path:
        """Write the errors as ``errors.json`` and the sheet as ``sheet.png``.

        Args:
            out (str): The folder.
            kpt_thr (float): Joints with a lower score are not drawn. Defaults
                to 0.

        Returns:
            Path: The sheet.
        """
        views = []
        for sample, error in zip(self.samples, self.errors, strict=True):
            image = mmcv.bgr2rgb(read_image(sample.metainfo['img_path']))
            view = PoseView.of_sample(
                image, sample, kpt_thr, truth=True,
                caption=f"MPJPE {error['MPJPE']:.0f}, PA "
                f"{error['P-MPJPE']:.0f} mm")
            views.append(view.cropped(sample.gt_instances.bboxes[0]))
        figure = draw_pose_views(views, Skeleton.of_metainfo(self.metainfo),
                                 columns=1 if len(views) < 4 else 2)
        Path(out).mkdir(parents=True, exist_ok=True)
        sheet = Path(out, 'sheet.png')
        figure.savefig(sheet, dpi=80)
        write_whole(Path(out, 'errors.json'), json.dumps(
            dict(format=1, samples=self.errors), indent=1) + '\n')
        return sheet

