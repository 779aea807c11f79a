"""Configs of networks without what trains them."""

from mmpose_wloss.engine.hooks import DualNetworkHook
from mmpose_wloss.models.wrapped_networks import stock_config

from mmengine.config import Config


def test_the_config_of_a_network():
    config = Config(dict(
        model=dict(type='PoseDual', network=dict(type='TopdownPoseEstimator'),
                   data_preprocessor=dict(type='PoseDataPreprocessor')),
        custom_imports=dict(imports=['mmpose_wloss', 'mine']),
        train_dataloader=dict(), load_from='there',
        val_evaluator=dict(type='NetworksEvaluator', metrics=dict(type='X')),
        test_evaluator=dict(type='MultiDatasetEvaluator', metrics=[]),
        custom_hooks=[
            dict(type=DualNetworkHook), dict(type='EMAHook'),
            dict(type='mmpose_wloss.engine.hooks.ResumableRandomnessHook')]))
    stock = stock_config(config)
    assert stock.model == dict(
        type='TopdownPoseEstimator',
        data_preprocessor=dict(type='PoseDataPreprocessor'))
    assert stock.val_evaluator == dict(type='X')
    assert stock.test_evaluator.type == 'MultiDatasetEvaluator'
    assert [hook.type for hook in stock.custom_hooks] == ['EMAHook']
    assert 'train_dataloader' not in stock and 'load_from' not in stock
    assert stock.custom_imports.imports == ['mine']
    # a stock config stays what it is
    assert stock_config(stock).to_dict() == stock.to_dict()
    assert 'train_dataloader' in config

    # an evaluator of this package needs the import
    config.val_evaluator.metrics = dict(
        type='PeopleSplitMetric', metric=dict(type='PCKAccuracy'))
    assert 'mmpose_wloss' in stock_config(config).custom_imports.imports
