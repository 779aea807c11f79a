import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmpose_wloss.__main__ import main

import cv2
import numpy as np
import pytest

from annypose import (
    DEFAULT_CLASS_SHARES,
    MissingAnnyError,
    RenderParameters,
    dataset,
    render_dataset,
)
from annypose.body import JOINT_NAMES

ROOT = Path(__file__).resolve().parents[2]


def load(out, name):
    return json.loads((out / 'annotations' / name).read_text())


def assert_same_files(one, two):
    files, others = ({file.relative_to(folder): file.read_bytes()
                      for file in folder.rglob('*') if file.is_file()}
                     for folder in (one, two))
    assert files == others


def test_layout_and_counts(rendered, counts):
    out, summary = rendered
    assert summary['images'] == counts
    assert summary['rendered'] == sum(counts.values())
    for split, count in counts.items():
        names = sorted(os.listdir(out / split))
        assert names == [f'{i + 1:012d}.jpg' for i in range(count)]
        assert cv2.imread(str(out / split / names[0])).shape == (64, 64, 3)
    assert Path(summary['contact_sheet']).exists()
    assert sum(summary['class_shares'].values()) == pytest.approx(1)
    assert 0.4 < summary['visible_share'] < 1


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='switches of x86')
def test_another_processor_renders_the_same(rendered, counts, parameters, tmp_path):
    """One without AVX2, as torch, NumPy, OpenBLAS, MKL and OpenCV can play it."""
    out = tmp_path / 'set'
    subprocess.run(
        [sys.executable, '-c',
         'from annypose import RenderParameters, render_dataset\n'
         'if __name__ == "__main__":\n'
         f'    render_dataset({str(out)!r}, {counts}, {parameters}, workers=1,'
         ' progress=False)'],
        cwd=ROOT, check=True, timeout=200, env=dict(
            os.environ, ATEN_CPU_CAPABILITY='default',
            MKL_ENABLE_INSTRUCTIONS='SSE4_2', ONEDNN_MAX_CPU_ISA='SSE41',
            OPENBLAS_CORETYPE='Prescott',
            OPENCV_CPU_DISABLE='AVX,FMA3,AVX2,AVX512-SKX',
            NPY_DISABLE_CPU_FEATURES='FMA3 AVX2 AVX512F AVX512CD AVX512_SKX '
            'AVX512_CLX AVX512_CNL AVX512_ICL'))
    assert_same_files(rendered[0], out)


def test_annotations_are_consistent(rendered, counts, parameters):
    out, _ = rendered
    content = load(out, 'person_keypoints_train.json')
    # how it was made
    info = content['info']
    assert info['format_version'] == dataset.FORMAT_VERSION
    for name in ('seed', 'size', 'class_shares'):
        assert info[name] == getattr(parameters, name)
    assert info['anny'] == importlib.metadata.version('anny')
    assert 'Apache-2.0' in info['license_note']
    images = {image['id']: image for image in content['images']}
    assert len(images) == counts['train']
    category, = content['categories']
    assert category['name'] == 'person'
    assert category['keypoints'] == list(JOINT_NAMES)
    assert len(category['skeleton']) == 19
    ids = [person['id'] for person in content['annotations']]
    assert len(set(ids)) == len(ids)
    assert {p['image_id'] for p in content['annotations']} == set(images)
    for person in content['annotations']:
        keypoints = np.reshape(person['keypoints'], (17, 3))
        joints = np.array(person['keypoints_3d'])
        camera = images[person['image_id']]['camera']
        projected = joints[:, :2] / joints[:, 2:] * camera['f'] + camera['c']
        inside = keypoints[:, 2] > 0
        np.testing.assert_allclose(keypoints[inside, :2], projected[inside], atol=0.01)
        assert (keypoints[~inside] == 0).all()
        outside = ((projected < 0) | (projected > 63)).any(axis=1)
        np.testing.assert_array_equal(inside, ~outside)
        assert set(keypoints[:, 2]) <= {0, 1, 2}
        assert person['num_keypoints'] == inside.sum() > 0
        assert person['pose_class'] in DEFAULT_CLASS_SHARES
        assert 0 <= person['occlusion'] <= 1
        x, y, width, height = person['bbox']
        assert 0 <= x < x + width <= 63 and 0 <= y < y + height <= 63
        thigh = np.linalg.norm(joints[11] - joints[13])
        assert 200 < thigh < 600


@pytest.mark.parametrize('package', ['pycocotools', 'xtcocotools'])
def test_coco_tools_read_it(rendered, package):
    coco_module = pytest.importorskip(f'{package}.coco')
    out, _ = rendered
    coco = coco_module.COCO(str(out / 'annotations/person_keypoints_train.json'))
    overlaps = []
    for person in coco.loadAnns(coco.getAnnIds(catIds=coco.getCatIds())):
        mask = coco.annToMask(person)
        assert mask.shape == (64, 64)
        overlaps.append(mask.sum() / person['area'])
    assert np.mean(overlaps) == pytest.approx(1, abs=0.1)

    unlabeled = coco_module.COCO(str(out / 'annotations/image_info_unlabeled.json'))
    boxes = unlabeled.loadRes(str(out / 'annotations/person_boxes_unlabeled.json'))
    assert set(boxes.getImgIds()) == set(unlabeled.getImgIds())


def test_the_unlabeled_split_carries_no_label(rendered, counts):
    out, _ = rendered
    content = load(out, 'image_info_unlabeled.json')
    assert 'annotations' not in content
    assert len(content['images']) == counts['unlabeled']
    boxes = load(out, 'person_boxes_unlabeled.json')
    lines = (out / 'records/unlabeled.jsonl').read_text().splitlines()
    for box in boxes + [box for line in lines for box in json.loads(line)['boxes']]:
        assert set(box) == {'image_id', 'category_id', 'bbox', 'score'}
    assert all(set(json.loads(line)) == {'index', 'image', 'boxes'} for line in lines)


RENDER = """
import sys
from annypose import RenderParameters, render_dataset
try:
    render_dataset({out!r}, {counts!r}, {parameters!r}, workers=1)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_killed_runs_lose_nothing_and_repeat_nothing(
        rendered, counts, parameters, tmp_path, monkeypatch):
    """Nor does it matter how many processes render, and in which order."""
    out = tmp_path / 'set'
    records = out / 'records/train.jsonl'
    written = 0
    for sent, asked in ((signal.SIGINT, dict(train=10)), (signal.SIGKILL, counts)):
        process = subprocess.Popen(
            [sys.executable, '-c', RENDER.format(
                out=str(out), counts=asked, parameters=parameters)],
            stderr=subprocess.PIPE, text=True,
            # children of a background job inherit that Ctrl-C is ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            env=os.environ | dict(PYTHONPATH=str(ROOT)))
        deadline = time.monotonic() + 120
        while not records.exists() or (records.read_bytes().count(b'\n') < written + 3):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(sent)
        _, messages = process.communicate(timeout=60)
        if sent == signal.SIGINT:
            assert process.returncode == 130
            assert 'goes on from there' in messages
            assert 'Traceback' not in messages
        written = records.read_bytes().count(b'\n')
        assert written < counts['train']
    with open(records, 'a') as file:
        file.write('{"index": 13, "image": {"file_na')
    (out / 'train/.000000000014.jpg.123').write_bytes(b'half a pic')

    # this process, which has imported all, renders the others
    monkeypatch.setattr(dataset, 'ProcessPoolExecutor', ThreadPoolExecutor)
    monkeypatch.setattr(dataset, '_end_with_parent', lambda: None)
    summary = render_dataset(out, counts, parameters, workers=1, progress=False)
    assert summary['rendered'] == sum(counts.values()) - written
    assert_same_files(rendered[0], out)


def test_the_command(rendered, counts, parameters, capsys):
    out, _ = rendered
    command = ['render', 'dataset', '--out', str(out), '--seed', '3', '--size',
               '64', '--people', '0.3', '--train', '1', '--val', '0']
    assert main([*command, '--occluders', '0.3']) == 0
    said = capsys.readouterr().out
    for split, count in counts.items():
        assert f'{split:<10} {count:6d} images' in said
    assert 'standing' in said and 'contact_sheet.jpg' in said
    assert main(command) == 1
    assert 'occluders' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, '--class-shares', 'standing'])
    assert 'class_shares' in capsys.readouterr().err


def test_a_finished_data_set_starts_nothing(rendered, counts, parameters, monkeypatch):
    monkeypatch.setattr(dataset, 'ProcessPoolExecutor', None)
    out, _ = rendered
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    summary = render_dataset(out, counts, parameters, progress=False)
    assert summary['rendered'] == 0
    fewer = render_dataset(out, dict(train=3), parameters, progress=False)
    assert fewer['images'] == counts
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*')} == before


def test_annotations_are_of_all_pictures_however_runs_ended(
        rendered, counts, parameters, tmp_path):
    """Runs may end after pictures were rendered and before they are annotated."""
    out = tmp_path / 'set'
    shutil.copytree(rendered[0], out)
    for name, keys in (('person_keypoints_train', ('images', 'annotations')),
                       ('image_info_unlabeled', ('images', ))):
        path = out / 'annotations' / f'{name}.json'
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {key: content[key][:1] for key in keys}))
    (out / 'annotations/person_boxes_unlabeled.json').write_text('[]')
    summary = render_dataset(out, dict(train=3), parameters, progress=False)
    assert summary['rendered'] == 0 and summary['images'] == counts
    assert_same_files(rendered[0], out)


def test_other_parameters_are_refused(rendered, counts):
    out, _ = rendered
    before = sorted(out.rglob('*'))
    with pytest.raises(ValueError) as error:
        render_dataset(out, counts, RenderParameters(seed=4, size=64, people=0.3))
    message = str(error.value)
    assert 'seed: 3 there, 4 asked for' in message
    assert 'occluders: 0.3 there, 0.15 asked for' in message
    assert 'size' not in message.replace(str(out), '')
    assert sorted(out.rglob('*')) == before


@pytest.mark.parametrize('arguments, named', [
    (dict(seed=-1), 'seed'), (dict(size=16), 'size'), (dict(yaw=200), 'yaw'),
    (dict(yaw=float('nan')), 'yaw'), (dict(occluders=1.5), 'occluders'),
    (dict(people=-0.1), 'people'),
    (dict(class_shares=dict(flying=1.)), 'flying'),
    (dict(class_shares=dict(standing=0.5)), 'class_shares .* got 0.5'),
    (dict(class_shares=dict(standing=0.5, lying=-0.5)), 'lying')])
def test_bad_parameters(arguments, named):
    with pytest.raises(ValueError, match=named):
        RenderParameters(**arguments)


def test_classes_without_a_share_need_not_be_named():
    named = RenderParameters(class_shares=dict(standing=1, lying=0))
    assert named == RenderParameters(class_shares=dict(standing=1.))


@pytest.mark.parametrize('counts, workers, named', [
    (dict(train=-1), 1, 'train'), (dict(test=1), 1, 'test'),
    (dict(train=0), 1, 'counts'), (dict(train=1), 0, 'workers')])
def test_bad_requests(tmp_path, counts, workers, named):
    with pytest.raises(ValueError, match=named):
        render_dataset(tmp_path / 'set', counts, workers=workers)
    assert not (tmp_path / 'set').exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    pytest.importorskip('anny', reason='the body model is not installed')
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='set'):
        render_dataset(tmp_path / 'file' / 'set', dict(train=1))


def test_without_anny(tmp_path, without_anny):
    with pytest.raises(MissingAnnyError, match='pip install "anny>='):
        render_dataset(tmp_path / 'set', dict(train=1))
    assert not (tmp_path / 'set').exists()
