"""docs/tutorial.md as its reader goes through it: all commands, on drawn lamps."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.__main__ import main
from mmpose_wloss.apis.video_files import VideoReader
from mmpose_wloss.deploy.network import OnnxNetwork

import pytest
import torch
import torchvision
from lamps import CATEGORY, KEYPOINTS, SKELETON, write_lamps
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r'^```(bash|python)\n(.*?)^```$', re.M | re.S)
FILE = re.compile(r'# (\w+\.py)\n')
FLIP_INDICES = [0, 1, 2, 4, 3]
# of the page's network, in one process
SMALL = """
model['backbone'].update(base_channels=8, init_cfg=None)
model['head'].update(in_channels=64, deconv_out_channels=(8, 8, 8))
for loader in (train_dataloader, val_dataloader):
    loader.update(num_workers=0, persistent_workers=False)
"""


def walk(folder: Path, run, of_base: str = '') -> None:
    """Write the page's files into a folder, and run its commands, in order."""
    verbs = []
    for language, text in BLOCK.findall((ROOT / 'docs' / 'tutorial.md').read_text()):
        if language == 'python':
            name = FILE.match(text)[1]
            (folder / name).write_text(text + of_base * (name == 'base.py'))
            continue
        for line in text.replace('\\\n', ' ').splitlines():
            words = shlex.split(line)
            assert words[:3] == ['python', '-m', 'mmpose_wloss']
            verbs.append(words[3])
            if verbs[-1] == 'train':
                words += ['--cfg-options', 'train_cfg.max_epochs=1']
            run(words[1:])
    assert {'metainfo', 'train', 'recipe', 'browse', 'density', 'test', 'export',
            'video'} == set(verbs)


def check(folder: Path) -> None:
    """All that the page promises is there, and of five joints."""
    assert Config.fromfile(folder / 'mine.py').model.hard_views[0] == dict(
        type='JointCutout', num_joints=1)
    for file in ('batch.png', 'batch_hard_views.png', 'lamp.npz', 'lamp/crops.jpg',
                 'rank/to_label.jpg', 'mine/first.pth'):
        assert (folder / 'work_dirs' / file).is_file()
    ranked = json.loads((folder / 'work_dirs/rank/to_label.json').read_text())
    category, = ranked['categories']
    assert (category['id'], category['name'], category['keypoints'],
            category['skeleton']) == (CATEGORY['id'], 'lamp', list(KEYPOINTS), SKELETON)
    assert {one['category_id'] for one in ranked['annotations']} == {CATEGORY['id']}
    assert OnnxNetwork(folder / 'lamp.onnx').dataset['flip_indices'] == FLIP_INDICES
    found = json.loads((folder / 'work_dirs/video/clip.json').read_text())
    assert found['joints'] == list(KEYPOINTS)
    clip = VideoReader(str(folder / 'work_dirs/video/clip.mp4'))
    assert len(found['frames']) == len(list(clip)) > 0
    assert all(len(frame['keypoints'][0]) == 5 for frame in found['frames'])
    tested = [json.loads(file.read_text()) for name in ('rare', 'base')
              for file in sorted((folder / 'work_dirs' / name).glob('*/*.json'))]
    rarities, onnx = tested[0], tested[-1]
    assert rarities['rare/error'] > 0 and rarities['coco/AP'] == onnx['coco/AP']


def test_the_page_with_a_small_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lamps(tmp_path / 'my', train=20, val=12, unlabeled=10, frames=4)

    def run(words):
        assert main(words[2:]) == 0, words

    walk(tmp_path, run, of_base=SMALL)
    check(tmp_path)

    # teachers that see mirror images swap the joints of these, and no others
    config = Config.fromfile('mine.py')
    init_default_scope('mmpose')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    model = MODELS.build(dict(config.model, teacher_views=[
        [], [dict(type='HorizontalFlip')]])).eval()
    data = model.data_preprocessor(pseudo_collate([dataset[20], dataset[21]]), False)
    _, _, easy = model.teach(data['inputs'], data['data_samples'])
    assert list(easy.flip_indices) == FLIP_INDICES
    assert easy.moved_joints().shape == (2, 5, 2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_page_as_it_is(tmp_path):
    write_lamps(tmp_path / 'my', train=20, val=12, unlabeled=10, frames=6)
    # in the place of ImageNet's, which the page's reader downloads
    url = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url
    weights = tmp_path / 'torch/hub/checkpoints' / Path(url).name
    weights.parent.mkdir(parents=True)
    torch.save(torchvision.models.resnet18().state_dict(), weights)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    environment = dict(os.environ, PYTHONPATH=path, TORCH_HOME=str(tmp_path / 'torch'))

    def run(words):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    walk(tmp_path, run)
    check(tmp_path)
