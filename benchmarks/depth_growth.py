"""Whether a volume learns better when its depth grows.

Trains the demo's 3D network on the embedded data set with 16 bins of depth
from scratch, and from networks with 8 and before with 4 bins, whose volume
layer is drawn anew (as the source does) or interpolated. Render the data first:
python tools/render_dataset.py --out data/annypose
"""

from study import ROOT, Study

from mmpose_wloss.visualization import draw_comparison

EPOCHS = 15
STAGE = {'train_cfg.max_epochs': EPOCHS // 3,
         'param_scheduler.1.end': EPOCHS // 3,
         'train_cfg.val_interval': EPOCHS // 3}


def stage(depth: int, after: str, growth: str) -> dict:
    return {
        **STAGE,
        'after': after,
        'model.head.depth_growth': growth,
        'model.head.decoder.heatmap_size': (32, 32, depth),
    }


STUDY = Study(
    'depth_growth',
    config='configs/demo/integral3d_i1_d16_annypose.py',
    configurations={
        '4 bins, H1': {
            **STAGE, 'config': 'configs/demo/integral3d_h1_d4_annypose.py'},
        '8 bins, after 4': stage(8, '4 bins, H1', 'random'),
        '16 bins, after 4 and 8': stage(16, '8 bins, after 4', 'random'),
        '16 bins from scratch': {'train_cfg.val_interval': EPOCHS // 3},
        '8 bins, after 4, interpolated': stage(
            8, '4 bins, H1', 'interpolate'),
        '16 bins, after 4 and 8, interpolated': stage(
            16, '8 bins, after 4, interpolated', 'interpolate'),
    },
    seeds=3,
    epochs=EPOCHS,
    figures={'MPJPE': 'MPJPE', 'P-MPJPE': 'PA-MPJPE'})


if __name__ == '__main__':
    STUDY.main()
    if rows := STUDY.by_configuration():
        draw_comparison(
            {label: {name: {'seed': [row['figures'][key] for row in of_one]}
                     for name, of_one in rows.items()}
             for key, label in STUDY.figures.items()},
            str(ROOT / 'docs/images/depth_growth.png'),
            'Error of 3D poses: depth grown, or learnt at once', 'mm')
        print('drawn: docs/images/depth_growth.png')
