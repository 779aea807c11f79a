"""What needs no MMPose does not wait seconds for its imports."""

import json
import subprocess
import sys

from mmpose_wloss import __version__
from mmpose_wloss.__main__ import VERBS, main

import pytest

# all verbs in one process, which would take seconds if it imported the stack
HEAVY = {'matplotlib', 'mmcv', 'mmdet', 'mmengine', 'mmpose', 'scipy', 'sklearn',
         'torch', 'torchvision'}
RUN = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
sys.argv[0] = 'mmpose-wloss'
from mmpose_wloss.__main__ import main
rows = []
for arguments in json.load(sys.stdin):
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
    rows.append([status, out.getvalue()])
print(json.dumps([rows, list(sys.modules)]))
"""
DOCTOR = """
import json, sys
sys.argv[0] = 'mmpose-wloss'
from mmpose_wloss.compat import diagnosis
names = []

def at_the_first_import(module):
    print(json.dumps([names, list(sys.modules)]))
    sys.exit()

diagnosis._error = at_the_first_import
for finding in diagnosis.diagnose():
    names.append(finding.name)
"""
# it cannot register, and so its process cannot start
SPAWNING = """
import sys
sys.modules['torch'] = None
import mmpose_wloss
if __name__ == '__main__':
    import multiprocessing
    process = multiprocessing.get_context('spawn').Process(target=print)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""
MISSING = (
    ['train', 'none.py'], ['test', 'none.py', 'x.pth'], ['browse', 'none.py'],
    ['compare', 'none.py:x.pth'], ['curriculum', 'none.py'],
    ['convert', 'none.pth', 'x.pth'], ['export', 'none.py', 'x.pth', '--out', 'x.onnx'],
    ['density', 'fit', 'none.py'], ['density', 'fit', 'none.json'],
    ['metainfo', 'none.json', '--out', 'x.py'],
    ['pose3d', 'none.py', 'x.pth', 'x.jpg'], ['subset', 'none.json', '--count', '3'],
    ['recipe', 'weigh', 'none.py', '--out', 'x.py'],
    ['video', 'none.py', 'x.pth', 'x.mp4'])
WRONG = (
    (['trian'], 'trian'), (['train'], 'config'),
    (['train', 'x.py', '--lr', '1'], '--lr'), (['density'], 'command'),
    (['test', 'x.py', 'x.pth', '--interval', 'x'], '--interval'))


def python(code: str, given: str = ''):
    result = subprocess.run([sys.executable, '-c', code], input=given, text=True,
                            capture_output=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_help_and_wrong_arguments_import_no_stack():
    given = [[], ['--version'], *([verb, '--help'] for verb in VERBS), *MISSING,
             *(arguments for arguments, _ in WRONG)]
    rows, modules = python(RUN, json.dumps(given))
    expected = [
        (0, 'pose3d '), (0, __version__),
        *((0, f'mmpose_wloss {verb}') for verb in VERBS),
        *((1, 'none.') for _ in MISSING), *((2, named) for _, named in WRONG)]
    for arguments, (status, text), (code, named) in zip(
            given, rows, expected, strict=True):
        assert status == code and named in text, (arguments, text)
    assert not HEAVY & set(modules)


def test_the_doctor_tells_versions_before_it_imports():
    names, modules = python(DOCTOR)
    assert {'Python', 'torch', 'mmpose', 'checkpoints', 'onnx'} <= set(names)
    assert not HEAVY & set(modules)


@pytest.mark.parametrize('name', ['mmpose-wloss', 'mmpose-wloss.exe'])
def test_the_processes_of_a_program_register_everything(name, tmp_path):
    script = tmp_path / name
    script.write_text(SPAWNING)
    result = subprocess.run([sys.executable, script], text=True, capture_output=True)
    assert result.returncode == 1
    assert 'torch' in result.stderr.splitlines()[-1]


def test_an_interrupted_training_goes_on_by_resume_alone(monkeypatch, capsys):
    """The same command would begin anew, and write over its checkpoints."""
    def interrupted(arguments):
        raise KeyboardInterrupt

    for verb in ('train', 'demo'):
        monkeypatch.setattr(f'mmpose_wloss.commands.{verb}.main', interrupted)
        assert main([verb]) == 130
        assert ('--resume' in capsys.readouterr().err) is (verb == 'train')
