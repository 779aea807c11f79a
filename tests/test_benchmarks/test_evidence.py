"""What the demo and the README say of the studies is what their rows say."""

import json
from pathlib import Path

from mmpose_wloss.apis.demo_report import EVIDENCE, PROBLEMS

import evidence
import pytest

ROOT = Path(__file__).parents[2]
ROWS = json.loads(EVIDENCE.read_text())


def test_the_file_says_what_rows_say():
    assert evidence.evidence() == ROWS
    assert {row['problem'] for row in ROWS} <= PROBLEMS.keys()


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row['problem'])
def test_the_readme_has_each_difference(row):
    assert row['difference'] in (ROOT / 'README.md').read_text()


def test_headlines_are_of_configurations_that_studies_compare():
    for each in evidence.HEADLINES:
        if each.name in evidence.STUDIES:
            study = evidence.STUDIES[each.name]
            assert {each.baseline, each.method} <= study.configurations.keys()
        else:
            assert evidence.by_seed(each.name, each.method, each.key)
