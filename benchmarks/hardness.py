"""How hard hard views are for a trained PoseCons or PoseDual, by labels.

python benchmarks/hardness.py CHECKPOINT, of the demo or of the study
semi_supervised.py. Images are those of the validation set.
"""

import argparse

from mmpose_wloss import register_all_modules
from mmpose_wloss.models.wrapped_networks import read_config

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from mmpose.registry import MODELS
from semi_supervised import AFFINE, cutout, paths
from tabulate import tabulate

VIEWS = {
    'affine': [AFFINE],
    'RandAugment': [dict(type='RandAugment'), AFFINE],
    **{f'{count} cutouts': [cutout(count), AFFINE] for count in (2, 5)},
    'four paths': paths(cutout(2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('checkpoint')
    file = parser.parse_args().checkpoint
    register_all_modules()
    init_default_scope('mmpose')
    config = read_config(None, file)
    loader = config.val_dataloader
    # as training gives them: with labels, and not moved
    dataset = loader.dataset.get('dataset', loader.dataset)
    dataset.update(test_mode=False, pipeline=[
        *dataset.pipeline[:-1],
        dict(type='GenerateTarget', encoder=config.codec),
        dict(type='PackPoseInputs')])
    batches = list(Runner.build_dataloader(loader, seed=0))
    rows = []
    for name, hard_views in VIEWS.items():
        model = MODELS.build(dict(config.model, hard_views=hard_views))
        load_checkpoint(model, file, map_location='cpu')
        torch.manual_seed(0)
        values = []
        for batch in batches:
            data = model.data_preprocessor(batch, False)
            values.append(float(model.hardness(**data)['first.hardness']))
        rows.append([name, np.mean(values), np.std(values)])
    print(tabulate(rows, ['hard view', 'hardness', '± of batches'],
                   tablefmt='github', floatfmt='.2f'))


if __name__ == '__main__':
    main()
