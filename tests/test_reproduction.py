"""What docs/reproduction.md says can be run."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'reproduction.md').read_text()
CONFIGS = sorted(set(re.findall(r'configs/[\w/.-]+\.py', PAGE)))
# of the table's rows, recipe and epoch of the checkpoint
ROWS = re.findall(r'^\| `(configs/\S+\.py)` .*`epoch_(\d+)\.pth`', PAGE, re.M)


def test_the_page_is_in_the_contents():
    assert re.search(r'^reproduction$', (ROOT / 'docs/index.md').read_text(), re.M)


@pytest.mark.parametrize('config', CONFIGS)
def test_a_recipe_exists(config):
    assert (ROOT / config).is_file()


def test_every_row_names_a_recipe_and_its_checkpoint():
    table_rows = re.findall(r'^\| `configs/.*', PAGE, re.M)
    assert len(ROWS) == len(table_rows) == len({config for config, _ in ROWS}) > 30


@pytest.mark.parametrize('config, epoch', ROWS)
def test_a_recipe_writes_the_checkpoint_of_its_row(config, epoch):
    config = Config.fromfile(str(ROOT / config))
    epochs = config.train_cfg.max_epochs
    assert epochs == int(epoch)
    # an interval that divides it, or the last epoch would not be kept
    assert epochs % config.default_hooks.checkpoint.interval == 0
