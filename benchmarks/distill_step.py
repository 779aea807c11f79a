"""What a distillation step costs beside the passes that it cannot avoid.

These are: forward of the teacher without gradient, forward and backward of the
student with the loss of the labels, on all images. They are compared with the
step on labeled images, and on a mixture of labeled and unlabeled ones.
Rounds go over all that is compared in turn, every other one backwards; a ratio
is the median over rounds, with its quartiles.
"""

import argparse
import logging
import platform
import statistics
import tempfile

import mmpose_wloss

import torch
from json_rows import results_file, write_rows
from loss_overhead import measure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from semi_step import ROOT, ratios, text
from tabulate import tabulate

CONFIGS = {
    'hourglass_mobile_s2_fpd_mpii': dict(joints=16, size=(256, 256)),
    'hrnet_to_mobile_fpd_coco': dict(joints=17, size=(192, 256)),
}


class Bench:
    """A distiller with a batch, on a device.

    Args:
        name (str): Of the config.
        batch (int): Number of images.
        device (torch.device): Where to run.
        joints (int): Number of keypoints.
        size (tuple[int, int]): Width and height of the images.
    """

    def __init__(self, name: str, batch: int, device: torch.device,
                 joints: int, size: tuple[int, int]):
        config = Config.fromfile(str(ROOT / 'configs' / f'{name}.py')).model
        with tempfile.NamedTemporaryFile(suffix='.pth') as file:
            # its weights do not matter here
            torch.save(MODELS.build(config.teacher).state_dict(), file.name)
            config.teacher_checkpoint = file.name
            self.model = MODELS.build(config)
            self.model.init_weights()
        self.model.to(device).train()
        self.samples = {}
        for part, labeled in (('labeled', batch), ('mixed', batch // 2)):
            data = get_packed_inputs(
                batch, num_keypoints=joints, img_shape=size[::-1],
                input_size=size, heatmap_size=(size[0] // 4, size[1] // 4))
            for index, sample in enumerate(data['data_samples']):
                sample.set_metainfo(dict(labeled=index < labeled))
                if index >= labeled:
                    sample.gt_instance_labels = InstanceData(
                        keypoint_weights=torch.ones(1, joints))
            data = self.model.data_preprocessor(data, True)
            self.inputs = data['inputs']
            self.samples[part] = data['data_samples']

    def step(self, part: str) -> None:
        """The step, without preprocessing and optimizer."""
        losses = self.model(self.inputs, self.samples[part], mode='loss')
        self.model.parse_losses(losses)[0].backward()
        self.model.zero_grad(set_to_none=True)

    def passes(self) -> None:
        """All that cannot be avoided."""
        with torch.no_grad():
            self.model.teacher.network(
                self.inputs, None, mode='tensor')
        losses = self.model.student.loss(self.inputs, self.samples['labeled'])
        self.model.parse_losses(losses)[0].backward()
        self.model.zero_grad(set_to_none=True)

    def student(self) -> None:
        """The student's stock step."""
        losses = self.model.student.loss(self.inputs, self.samples['labeled'])
        self.model.parse_losses(losses)[0].backward()
        self.model.zero_grad(set_to_none=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--batch', type=int, default=4, help='images')
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    logging.disable(logging.INFO)
    init_default_scope('mmpose')
    torch.manual_seed(0)
    device = torch.device(args.device)

    functions = {}
    for name, sizes in CONFIGS.items():
        bench = Bench(name, args.batch, device, **sizes)
        functions[name, 'labeled'] = lambda bench=bench: bench.step('labeled')
        functions[name, 'mixed'] = lambda bench=bench: bench.step('mixed')
        functions[name, 'passes'] = bench.passes
        functions[name, 'passes again'] = bench.passes
        functions[name, 'student'] = bench.student
    seconds = measure(functions, args.rounds, device, 'steps')

    rows = {}
    for name in CONFIGS:
        passes = seconds[name, 'passes']
        rows[name] = dict(
            milliseconds={what: 1e3 * statistics.median(seconds[name, what])
                          for what in ('labeled', 'mixed', 'passes',
                                       'student')},
            **{what: ratios(seconds[name, what], passes)
               for what in ('labeled', 'mixed', 'passes again')},
            over_student=ratios(seconds[name, 'labeled'],
                                seconds[name, 'student']))
    print(tabulate(
        [[name, f'{row["milliseconds"]["labeled"]:.0f}',
          *(text(row[what]) for what in (
              'labeled', 'mixed', 'passes again', 'over_student'))]
         for name, row in rows.items()],
        ['config', 'step, ms', 'labeled, over its passes',
         'mixed, over its passes', 'the passes, over themselves',
         "over the student's own step"], tablefmt='github'))
    write_rows(results_file('distill_step', device), dict(
        format=1, batch=args.batch, rounds=args.rounds, device=args.device,
        rows=rows, threads=torch.get_num_threads(),
        versions=dict(torch=torch.__version__,
                      python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
