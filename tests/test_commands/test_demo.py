import json
from pathlib import Path

from mmpose_wloss import trainings
from mmpose_wloss.apis import demo_report
from mmpose_wloss.commands import demo, render

import torch
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS

ROOT = Path(__file__).parents[2]


def test_networks_are_trained_and_compared(demo_configs, tmp_path, monkeypatch, capsys):
    rendered, trained = [], []

    def train(those, processes):
        """Write what trainings leave, with random weights."""
        trained.append((len(those), processes))
        for training in those:
            log = training.work_dir / '0' / 'vis_data' / 'scalars.json'
            log.parent.mkdir(parents=True)
            log.write_text('\n'.join(json.dumps(dict(
                dict.fromkeys(demo_report.FIGURES, 0.25), step=epoch))
                for epoch in (1, 2)))
            with DefaultScope.overwrite_default_scope('mmpose'):
                state = MODELS.build(training.config.model).state_dict()
            torch.save(dict(meta={}, state_dict=state),
                       training.work_dir / 'epoch_2.pth')

    monkeypatch.setattr(render, 'main', rendered.append)
    monkeypatch.setattr(trainings, 'run_trainings', train)
    monkeypatch.setattr(demo, 'CONFIGS', {
        'MSE': demo_configs['mse'], 'focal MSE': demo_configs['fmse']})
    work = tmp_path / 'work'
    command = ['--work-dir', str(work), '--processes', '3']
    assert demo.main(command) == 0
    report = (work / 'report.md').read_text()
    # nothing is trained again
    with monkeypatch.context() as context:
        context.setattr(demo_report, 'write_report', lambda *_: None)
        assert demo.main(command) == 0
    assert rendered == [['dataset', '--workers', '3']] * 2
    assert trained == [(2, 3), (0, 3)]
    for text in (report, capsys.readouterr().out):
        assert '| MSE ' in text and '| focal MSE ' in text and ' 0.250 ' in text
    for name in ('ap', 'pck', 'predictions', 'heatmaps'):
        assert f'({name}.png)' in report
        assert (work / f'{name}.png').stat().st_size > 1000


def test_configs_of_a_checkout():
    assert demo.demo_configs() == ROOT / 'configs' / 'demo'
    for name in demo.CONFIGS.values():
        assert (demo.demo_configs() / name).is_file()
