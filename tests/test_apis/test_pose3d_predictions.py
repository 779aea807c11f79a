import json
from pathlib import Path

from mmpose_wloss.apis import predict_images, predict_samples
from mmpose_wloss.common.errors import UserError

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpose.evaluation.metrics import MPJPE
from mmpose.registry import DATASETS

CAMERA = dict(f=[150., 150.], c=[64., 48.])
BOX = [10, 10, 50, 80]


@pytest.mark.parametrize('mode', ['MPJPE', 'P-MPJPE'])
def test_errors_are_those_of_the_metric(inferencer, tmp_path, mode):
    errors = predict_samples(inferencer, 3, str(tmp_path))
    assert [error['id'] for error in errors] == [1, 2, 3]
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
    with torch.no_grad():
        samples = inferencer.model.test_step(inferencer.collate_fn(
            [dataset[index] for index in range(3)]))
    metric = MPJPE(mode=mode.lower())
    metric.process([], [sample.to_dict() for sample in samples])
    assert metric.compute_metrics(metric.results)[mode] == pytest.approx(
        np.mean([error[mode] for error in errors]), rel=1e-5)


def test_samples_are_drawn_as_many_as_there_are(inferencer, tmp_path):
    errors = predict_samples(inferencer, 100, str(tmp_path))
    assert len(errors) == 4
    assert json.loads((tmp_path / 'errors.json').read_text()) == dict(
        format=1, samples=errors)
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    # two samples a row, each an image and two poses
    assert sheet.shape[1] > 2 * sheet.shape[0]
    assert sheet.std() > 10
    with pytest.raises(UserError, match='count'):
        predict_samples(inferencer, 0, str(tmp_path))


def test_what_cannot_be_read_is_left_out(inferencer, val_images, tmp_path):
    broken = tmp_path / 'broken.jpg'
    broken.write_text('no image')
    first, second, third, _ = val_images
    names = [Path(image).name for image in val_images]
    boxes = {names[0]: [[25, 15, 105, 85], BOX], names[1]: [],
             broken.name: [BOX]}
    out = tmp_path / 'out'
    people, failures = predict_images(
        inferencer, [first, second, third, str(broken)], str(out),
        boxes=boxes, camera=CAMERA, root_depth=4000.)
    assert people == {first: 2, second: 0}
    assert names[2] in failures[third] and 'boxes' in failures[third]
    assert 'broken.jpg' in failures[str(broken)]
    written = [json.loads((out / 'predictions' / f'{Path(image).stem}.json'
                           ).read_text()) for image in (first, second)]
    assert len(written[0]) == 2 and 'keypoints_cam' in written[0][0]
    assert written[1] == []
    assert sorted(file.stem for file in (out / 'visualizations').iterdir()) == [
        Path(image).stem for image in (first, second)]


def test_cameras_by_name(inferencer, val_images, tmp_path):
    images = val_images[:2]
    name = Path(images[0]).name
    people, failures = predict_images(
        inferencer, images, str(tmp_path), camera={name: CAMERA},
        root_depth=4000.)
    assert list(people) == images[:1] and 'camera' in failures[images[1]]
    with pytest.raises(UserError, match=r'other\.jpg'):
        predict_images(inferencer, images, str(tmp_path),
                       boxes={'other.jpg': [BOX]})
