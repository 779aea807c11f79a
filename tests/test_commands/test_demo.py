import json
import re
from pathlib import Path
from types import SimpleNamespace

from mmpose_wloss import trainings
from mmpose_wloss.apis import demo_report
from mmpose_wloss.commands import demo, density, render
from mmpose_wloss.common.files import digest_of_file
from mmpose_wloss.pose_density import PoseDensityArtifact

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS

ROOT = Path(__file__).parents[2]
PAIR = dict(baseline='plain <MSE>', method='focal', configs=('mse', 'fmse'),
            figures={'PCK': ('PCK@0.1', False), 'rare/error': ('error', True)})


@pytest.fixture
def trained(demo_configs, tmp_path, monkeypatch) -> list:
    """Which trainings were run, in place of running them."""
    names = []

    def train(those, processes):
        """Write what trainings leave, with random weights."""
        names.append([training.config.filename for training in those])
        for training in those:
            log = training.work_dir / '0' / 'vis_data' / 'scalars.json'
            log.parent.mkdir(parents=True)
            value = 0.25 if 'focal' not in str(training.config.model) else 0.5
            log.write_text('\n'.join(json.dumps(
                {'PCK': value, 'rare/error': 9., 'step': epoch})
                for epoch in (1, 2)))
            with DefaultScope.overwrite_default_scope('mmpose'):
                state = MODELS.build(training.config.model).state_dict()
            torch.save(dict(meta={}, state_dict=state),
                       training.work_dir / 'epoch_2.pth')

    monkeypatch.setattr(render, 'main', lambda arguments: None)
    monkeypatch.setattr(density, 'main', lambda arguments: None)
    monkeypatch.setattr(trainings, 'run_trainings', train)
    monkeypatch.setattr(demo, 'DENSITY', str(tmp_path / 'density.npz'))
    monkeypatch.setattr(demo, 'demo_configs', lambda: demo_configs['mse'].parent)
    monkeypatch.setattr(demo, 'FIRST', {'few_labels': PAIR})
    monkeypatch.setattr(demo, 'MORE', {'background': PAIR | dict(heatmaps=False)})
    return names


def test_a_page_of_one_file_shows_both_networks(trained, tmp_path, capsys):
    command = ['--work-dir', str(tmp_path / 'work')]
    assert demo.main(command) == 0
    assert demo.main(command) == 0
    # nothing is trained again
    assert [len(those) for those in trained] == [2, 0]
    said = capsys.readouterr().out
    assert '0.250' in said and '9.000' in said
    page = (tmp_path / 'work' / 'report.html').read_text()
    # names are no markup
    assert 'plain &lt;MSE&gt;' in page and '<MSE>' not in page
    assert set(re.findall(r'src="(.{10})', page)) == {'data:image'}
    assert not re.search(r'(src|href)="http|@import|url\(', page)
    # of what is not trained the studies speak
    assert set(re.findall(r'id="(\w+)"', page)) == set(demo_report.PROBLEMS)
    for row in json.loads(demo_report.EVIDENCE.read_text()):
        assert row['difference'] in page


def test_a_density_of_former_annotations_is_fitted_again(tmp_path, monkeypatch):
    annotations, file = tmp_path / 'train.json', tmp_path / 'density.npz'
    config = tmp_path / 'config.py'
    config.write_text(
        f'train_dataloader = dict(dataset=dict(ann_file={str(annotations)!r}))')
    monkeypatch.setattr(demo, 'DENSITY', str(file))
    monkeypatch.setattr(
        PoseDensityArtifact, 'load', lambda file: SimpleNamespace(
            annotation_digest=Path(file).read_text()))
    annotations.write_text('{}')
    assert not demo.has_density(config)
    file.write_text(digest_of_file(annotations))
    assert demo.has_density(config)
    annotations.write_text('{"more": 1}')
    assert not demo.has_density(config)


def test_full_adds_comparisons_and_trains_each_network_once(trained, tmp_path):
    demo.main(['--work-dir', str(tmp_path / 'work'), '--full'])
    assert len(trained[0]) == 2
    page = (tmp_path / 'work' / 'report.html').read_text()
    assert page.count('trained here') == 2 and page.count('<img') == 3
    assert '<b>9</b>' in page


def test_hard_people_are_drawn_whoever_is_better(monkeypatch, tmp_path):
    random = np.random.default_rng(0)
    truth = random.uniform(10, 50, (80, 5, 2))
    # errors by person: the first eight are hard for both
    sizes = np.where(np.arange(80) < 8, 8., 1.)[:, None, None]

    def people(factor):
        return [demo_report.Prediction(
            np.zeros((64, 64, 3)), each, np.ones(5, bool), each + size * factor,
            None, None) for each, size in zip(truth, sizes, strict=True)]

    better = {'a': people(1.), 'b': people(0.5)}
    drawn = {}
    monkeypatch.setattr(demo_report, 'predict', lambda config, file: better[config])
    monkeypatch.setattr(demo_report, 'draw_predictions',
                        lambda predictions, path: drawn.update(predictions))

    class Trained:
        work_dir, epochs = tmp_path, 1

        def __init__(self, config):
            self.config = config

    comparison = demo_report.Comparison(
        'one', 'other', (Trained('a'), Trained('b')), {})
    assert demo_report.draw_hard_people(comparison, tmp_path / 'p.png') == 1.
    # people 0 to 7 are the hardest tenth
    assert all(np.abs(each.keypoints - each.truth).max() == pytest.approx(8.)
               for each in drawn['one'])
    assert len(drawn['other']) == len(drawn['one']) == 8


def test_an_error_counts_visible_joints_alone():
    person = demo_report.Prediction(
        np.zeros((64, 50, 3)), np.zeros((2, 2)), np.array([True, False]),
        np.array([[3., 4.], [99., 99.]]), None, None)
    nobody = person._replace(visible=np.zeros(2, bool))
    found = demo_report.errors([person, nobody])
    assert found[0] == pytest.approx(0.1) and np.isnan(found[1])


@pytest.mark.parametrize('name', demo.FIRST | demo.MORE)
def test_comparisons_name_configs_that_are_there(name, tmp_path, monkeypatch):
    # the data set may not be rendered yet
    monkeypatch.setattr(trainings, 'annotation_files', lambda config: [])
    described = (demo.FIRST | demo.MORE)[name]
    found = demo.comparisons_of({name: described}, demo.demo_configs(), tmp_path)
    assert found.keys() <= demo_report.PROBLEMS.keys()
    first, second = found[name].trainings
    assert first.work_dir != second.work_dir
    assert (second.after is not None) == ('teacher' in described)


def test_remedies_are_commands_that_write_a_config():
    for problem in demo_report.PROBLEMS.values():
        assert problem.remedy.startswith('model = ') or (
            problem.remedy.endswith(' --out mine.py'))
        assert (ROOT / 'docs' / f'{problem.page}.md').is_file()


def test_configs_of_a_checkout():
    assert demo.demo_configs() == ROOT / 'configs' / 'demo'
