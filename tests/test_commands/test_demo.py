from pathlib import Path

from mmpose_wloss.commands import demo, render

ROOT = Path(__file__).parents[2]


def test_networks_are_trained_and_compared(demo_configs, tmp_path, monkeypatch,
                                           capsys):
    rendered = []
    monkeypatch.setattr(render, 'main', rendered.append)
    monkeypatch.setattr(demo, 'CONFIGS', {
        'MSE': demo_configs['mse'], 'focal MSE': demo_configs['fmse']})
    work = tmp_path / 'work'
    for _ in range(2):
        assert demo.main(['--work-dir', str(work)]) == 0
        logs = {file: file.stat().st_mtime_ns
                for file in work.glob('*/output.txt')}
    assert rendered == [['dataset', '--workers', '2']] * 2
    # nothing was trained again
    assert len(logs) == 2 and max(logs.values()) < min(
        file.stat().st_mtime_ns for file in work.glob('*.md'))
    report = (work / 'report.md').read_text()
    for text in (report, capsys.readouterr().out):
        assert '| MSE ' in text and '| focal MSE ' in text
    for name in ('ap', 'pck', 'predictions', 'heatmaps'):
        assert f'({name}.png)' in report
        assert (work / f'{name}.png').stat().st_size > 1000


def test_configs_of_a_checkout():
    assert demo.demo_configs() == ROOT / 'configs' / 'demo'
    for name in demo.CONFIGS.values():
        assert (demo.demo_configs() / name).is_file()
