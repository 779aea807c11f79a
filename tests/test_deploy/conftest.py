"""Small networks as ONNX files."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from small_networks import NETWORKS


def pytest_ignore_collect() -> bool | None:
    """Pass over this folder where there is no ONNX."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        return True


@pytest.fixture(scope='session')
def build_model():
    """Builds a model whose outputs tell images apart."""
    def build(network: dict) -> torch.nn.Module:
        init_default_scope('mmpose')
        torch.manual_seed(0)
        model = MODELS.build(copy.deepcopy(network)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        return model
    return build


@pytest.fixture(scope='module')
def exported(tmp_path_factory, build_model):
    """Exports each network once: its config, the model and the export."""
    from mmpose_wloss.deploy import export_onnx

    done = {}

    def export(name: str) -> tuple:
        if name not in done:
            network = NETWORKS[name]()
            model = build_model(network)
            done[name] = network, model, export_onnx(
                model, Config(dict(model=network)),
                tmp_path_factory.mktemp(name) / 'net.onnx')
        return done[name]

    return export
