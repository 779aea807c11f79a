from mmpose_wloss.evaluation.metrics import pose_rarity_metric

import pytest
from evaluated_people import FakeDensity
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer


@pytest.fixture(autouse=True)
def evaluation(monkeypatch):
    """MMPose's scope, nothing that other tests left, a made-up density."""
    init_default_scope('mmpose')
    for manager in (Visualizer, MessageHub):
        monkeypatch.setattr(manager, '_instance_dict', {})
    monkeypatch.setattr(pose_rarity_metric.PoseDensityArtifact, 'load',
                        staticmethod(lambda path: FakeDensity()))


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
