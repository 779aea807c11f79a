"""ONNX files in the place of the model that they were exported from."""

from collections.abc import Mapping

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import EVALUATOR, init_default_scope
from mmengine.runner import Runner
from torch import nn
from tqdm import tqdm

from ..models.wrapped_networks import KEYS, stock_config


def with_onnx_file(config: Config, file: str, threads: int = 0) -> Config:
    """A config that tests an ONNX file.

    Args:
        config (Config): The config that the file was exported with.
        file (str): The ONNX file.
        threads (int): As of :class:`OnnxPoseEstimator`. Defaults to 0.

    Returns:
        Config: The same, with an :class:`OnnxPoseEstimator`.
    """
    stock = (stock_config(config) if any(key in config.model for key in KEYS)
             else Config(config.to_dict(), filename=config.filename))
    stock.model = dict(type='OnnxPoseEstimator', network=stock.model,
                       onnx_file=str(file), threads=threads)
    stock.load_from = None
    return stock


def evaluate_model(model: nn.Module, config: Config,
                   description: str = 'evaluation') -> dict[str, float]:
    """What a config's test evaluators say of a model.

    Args:
        model (nn.Module): A pose estimator.
        config (Config): Its config, whose test set is used.
        description (str): Shown beside the progress. Defaults to
            ``'evaluation'``.

    Returns:
        dict[str, float]: Value of each metric.
    """
    init_default_scope(config.get('default_scope', 'mmpose'))
    loader = Runner.build_dataloader(config.test_dataloader)
    evaluator = config.test_evaluator
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator:
        evaluator = EVALUATOR.build(dict(dict(type='Evaluator'), **evaluator))
    else:
        evaluator = Evaluator(evaluator)
    evaluator.dataset_meta = getattr(loader.dataset, 'metainfo', None)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in tqdm(loader, desc=description):
                evaluator.process(model.test_step(batch), batch)
    finally:
        model.train(training)
    return evaluator.evaluate(len(loader.dataset))
