"""Which unlabeled people to label next: whose poses are rare, or uncertain."""

import copy
import csv
import dataclasses
import io
import json
import os
from itertools import groupby
from pathlib import Path

import mmcv
import numpy as np
from mmengine.config import Config
from scipy.stats import rankdata
from tqdm import tqdm

from ..common import configs
from ..common.checks import one_of, whole, within
from ..common.errors import UserError
from ..common.files import digest_of_file, read_json, write_whole
from ..datasets.datasets.unlabeled import UnlabeledPoseDataset
from ..datasets.poses import Poses, annotation_files, checked_ids, joint_names
from ..pose_density import PoseDensityArtifact
from ..visualization.pose_density_pictures import CROPS, draw_crops, save_figure
from .topdown_predictor import TopdownPredictor

BY = ('both', 'rarity', 'uncertainty')
# people in the contact sheet
SHEET = 5 * CROPS
IMAGES = 64  # in memory


@dataclasses.dataclass(frozen=True, eq=False)
class PoseRanking:
    """Predicted poses of unlabeled people, and how much each asks for a label.

    Attributes:
        poses (Poses): Of N people; a joint is visible if its score is high enough.
        image_ids (np.ndarray): In shape [N].
        sizes (np.ndarray): Width and height of their images, in shape [N, 2].
        confidence (np.ndarray): Mean score of a person's joints, in shape [N].
        log_density (np.ndarray): Under the labeled poses, in shape [N]; NaN for
            fewer visible joints than that needs.
        weights (np.ndarray): By the options of that density, in shape [N].
        scores (np.ndarray): From 0 to 1, which asks for a label the most, in [N].
    """
    poses: Poses
    image_ids: np.ndarray
    sizes: np.ndarray
    confidence: np.ndarray
    log_density: np.ndarray
    weights: np.ndarray
    scores: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """The people from the highest score down, in shape [N]."""
        return np.argsort(-self.scores, kind='stable')


def shares(values: np.ndarray) -> np.ndarray:
    """The share of values that are higher than each, from 0 to 1; of NaN ½."""
    known, result = ~np.isnan(values), np.full(len(values), 0.5)
    if known.sum() > 1:
        result[known] = (known.sum() - rankdata(values[known])) / (known.sum() - 1)
    return result


def rank_people(predictor: TopdownPredictor, artifact: PoseDensityArtifact,
                dataset: UnlabeledPoseDataset, by: str = 'both',
                kpt_thr: float = 0.1) -> PoseRanking:
    """Predict people's poses, and rank them by how rare and uncertain they are.

    A person's score is the share of people whose pose is more common under the
    labeled ones (``'rarity'``), the share of those whose joints have a higher mean
    score (``'uncertainty'``), or the mean of both. So neither unit counts.

    Args:
        predictor (TopdownPredictor): What predicts.
        artifact (PoseDensityArtifact): The density of the labeled poses.
        dataset (UnlabeledPoseDataset): The people.
        by (str): ``'both'``, ``'rarity'`` or ``'uncertainty'``.
        kpt_thr (float): A joint with a lower score is missing in a pose, in [0, 1].

    Raises:
        UserError: If joints of network and density differ, ids of boxes are no unique
            whole numbers, an image cannot be read, or an argument is out of its range.
    """
    one_of(BY, by=by)
    within(0, 1, kpt_thr=kpt_thr)
    artifact.check_joints(predictor.joints, 'the network')
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    files = annotation_files(dataset)
    ids = checked_ids([sample['id'] for sample in samples], files)
    keypoints, scores, sizes = [], [], []
    of_images = [list(people) for _, people in
                 groupby(samples, lambda sample: sample['img_path'])]
    with tqdm(total=len(samples), desc='predicting', unit=' people') as bar:
        for start in range(0, len(of_images), IMAGES):
            some = of_images[start:start + IMAGES]
            images = [mmcv.imread(people[0]['img_path']) for people in some]
            for image, people in zip(images, some, strict=True):
                if image is None:
                    raise UserError(f'{people[0]["img_path"]} cannot be read as an '
                                    'image: remove it, or its boxes')
                sizes += len(people) * [image.shape[1::-1]]
            found = predictor.predict(images, [
                np.concatenate([person['bbox'] for person in people])
                for people in some])
            for each in found:
                keypoints.append(each.keypoints)
                scores.append(each.keypoint_scores)
                bar.update(len(each))
    scores = np.concatenate(scores)
    poses = Poses(
        ids, np.concatenate(keypoints), scores >= kpt_thr,
        np.concatenate([sample['bbox'] for sample in samples]),
        [sample['img_path'] for sample in samples], predictor.metainfo, files)
    confidence = scores.mean(1)
    log_density, weights = artifact.density.score_and_weigh(
        poses.keypoints, poses.visible, image_sizes=np.array(sizes, float),
        boxes=poses.boxes if artifact.density.with_boxes else None)
    parts = dict(rarity=shares(log_density), uncertainty=shares(confidence))
    return PoseRanking(
        poses, np.array([sample['img_id'] for sample in samples]), np.array(sizes),
        confidence, log_density, weights,
        parts[by] if by in parts else sum(parts.values()) / 2)


def write_ranking(ranking: PoseRanking, artifact: PoseDensityArtifact, images: str,
                  out: str | Path, count: int = 100,
                  category: dict | None = None) -> PoseDensityArtifact:
    """Write a ranking for annotation tools, for eyes and for a training.

    - ``ranking.csv``: all people, in order.
    - ``to_label.json``: the first ones with their predicted joints, in COCO's format.
    - ``people.json``, ``draws.npz``: all people, in the same format, and how often a
      training is to draw each, for :class:`EpochMultiSourceSampler`. The latter is
      not written if a handful of people would carry the training.
    - ``to_label.jpg``: the first ones in their images.

    Args:
        ranking (PoseRanking): The ranking.
        artifact (PoseDensityArtifact): The density of the labeled poses.
        images (str): The folder that names of images are relative to.
        out (str or Path): The folder to write; it is made.
        count (int): How many the first ones are.
        category (dict, optional): As of :func:`coco_of`.

    Returns:
        PoseDensityArtifact: What ``draws.npz`` holds, or would.
    """
    whole(count=count)
    out, poses, order = Path(out), ranking.poses, ranking.order
    table = io.StringIO()
    writer = csv.writer(table, lineterminator='\n')
    writer.writerow(('place', 'image', 'id', 'left', 'top', 'width', 'height',
                     'log_density', 'confidence', 'score'))
    for place, row in enumerate(order, 1):
        left, top, right, bottom = poses.boxes[row].tolist()
        writer.writerow((
            place, os.path.relpath(poses.image_paths[row], images), poses.ids[row],
            *(f'{value:.1f}' for value in (left, top, right - left, bottom - top)),
            *(f'{values[row]:.4f}' for values in (
                ranking.log_density, ranking.confidence, ranking.scores))))
    write_whole(out / 'ranking.csv', table.getvalue())
    write_whole(out / 'to_label.json',
                json.dumps(coco_of(ranking, order[:count], images, category)))
    everybody = out / 'people.json'
    write_whole(everybody, json.dumps(
        coco_of(ranking, np.arange(len(order)), images, category)))
    density = copy.copy(artifact.density)
    density.log_density = density.held_out = ranking.log_density
    density.weights, density.density_error = ranking.weights, None
    draws = PoseDensityArtifact(
        poses.ids, density.weights, ranking.log_density, density,
        artifact.joint_names, poses.metainfo['dataset_name'], (everybody.name, ),
        digest_of_file(everybody))
    if draws.is_carried_by_few():
        (out / 'draws.npz').unlink(missing_ok=True)
    else:
        draws.save(out / 'draws.npz')
    save_figure(draw_crops(poses, {
        row: f'{ranking.scores[row]:.2f}' for row in order[:SHEET].tolist()},
        'label these next: predicted poses and their scores'), out / 'to_label.jpg')
    return draws


def labeled_category(config: Config, joints: tuple[str, ...]) -> dict | None:
    """The category of a config's labels, for annotations that go with them.

    Args:
        config (Config): Its test set's annotation files are read.
        joints (tuple[str]): Names of the joints that the category is to have.

    Returns:
        dict: ``id`` and ``name``; ``None`` where files are not there or no category
        has these joints.
    """
    for file in configs.annotation_files(config.test_dataloader.dataset):
        content = read_json(file) if file.is_file() and file.suffix == '.json' else None
        for one in (content.get('categories') or () if isinstance(content, dict)
                    else ()):
            if tuple(one.get('keypoints') or ()) == joints:
                return dict(id=one['id'], name=one['name'])
    return None


def coco_of(ranking: PoseRanking, rows: np.ndarray, images: str,
            category: dict | None = None) -> dict:
    """Some of the people in COCO's format, in their order.

    Joints that are not visible are 0, 0, 0, as annotation tools expect.

    Args:
        ranking (PoseRanking): The ranking.
        rows (np.ndarray): Which people, in shape [M].
        images (str): The folder that names of images are relative to.
        category (dict, optional): ``id`` and ``name`` of their category. Defaults to
            1 and ``person``.
    """
    poses, category = ranking.poses, category or dict(id=1, name='person')
    names = joint_names(poses.metainfo)
    files, annotations = {}, []
    for row in rows.tolist():
        image_id = ranking.image_ids[row].tolist()
        width, height = ranking.sizes[row].tolist()
        files[image_id] = dict(
            id=image_id, width=width, height=height,
            file_name=os.path.relpath(poses.image_paths[row], images))
        left, top, right, bottom = poses.boxes[row].round(2).tolist()
        visible = poses.visible[row]
        joints = np.column_stack([poses.keypoints[row].round(2), 2 * visible])
        annotations.append(dict(
            id=poses.ids[row].tolist(), image_id=image_id,
            category_id=category['id'], iscrowd=0,
            bbox=[left, top, right - left, bottom - top],
            area=(right - left) * (bottom - top), num_keypoints=int(visible.sum()),
            keypoints=(joints * visible[:, None]).ravel().tolist(),
            score=round(float(ranking.confidence[row]), 4)))
    links = np.reshape(poses.metainfo.get('skeleton_links', []), (-1, 2)) + 1
    return dict(
        images=list(files.values()), annotations=annotations,
        categories=[dict(category, keypoints=list(names),
                         skeleton=links.astype(int).tolist())])
