"""Checkpoints of the original PoseCons and its kin, as MMPose has them."""

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from torch import Tensor

from ..common.errors import UserError
from ..common.files import existing_file
from ..common.state_dicts import check_fits
from ..models.wrapped_networks import write_with_config
from .original_checkpoint import read_original

NETWORKS = {'resnet.': 'first', 'resnet2.': 'second', 'final_resnet.': 'third'}
# the last layer, of ResNets and of HRNets
FINAL_LAYERS = ('final_layer_1.', 'final_layer.')
OUTPUTS = 24
# which of the 24 outputs a data set's joints are, in the order of MMPose
COCO = (11, 21, 20, 23, 22, 14, 17, 15, 18, 16, 19, 4, 1, 5, 2, 6, 3)
MPII = (3, 2, 1, 4, 5, 6, 0, 8, 10, 13, 19, 18, 17, 14, 15, 16)
JOINTS = {len(COCO): ('coco', COCO), len(MPII): ('mpii', MPII)}


def is_posedual(state: dict[str, Tensor]) -> bool:
    """Whether a state, without ``module.``, is of the original networks."""
    return any(name.startswith(tuple(NETWORKS)) for name in state)


def convert_posedual_state(state: dict[str, Tensor],
                           joints: tuple[int, ...]) -> dict[str, Tensor]:
    """Give the original weights the names of :class:`PoseCons` or its kin.

    Args:
        state (dict): State of the original networks, without ``module.``.
        joints (tuple): Which of the 24 outputs to keep, in this order. The others are
            of joints that the data set lacks, and were never taught.

    Raises:
        UserError: If the state is of another model.
    """
    converted = {}
    for name, value in state.items():
        prefix = next((each for each in NETWORKS if name.startswith(each)), None)
        if prefix is None:
            raise UserError('this is no state of the original PoseCons, PoseDual or '
                            f'SSPCM: {name} is of none of {", ".join(NETWORKS)}')
        name = name.removeprefix(prefix)
        layer = next((each for each in FINAL_LAYERS if name.startswith(each)), None)
        if layer is not None:
            if len(value) != OUTPUTS:
                raise UserError(f'{prefix}{name} has {len(value)} outputs, but the '
                                f'original code has {OUTPUTS}')
            name, value = name.replace(layer, 'head.final_layer.'), value[list(joints)]
        elif name.startswith('deconv_layers.'):
            name = f'head.{name}'
        else:
            name = f'backbone.{name}'
        converted[f'networks.{NETWORKS[prefix]}.{name}'] = value
    if not any(name.startswith('networks.third.') for name in converted):
        return converted
    # a training that begins from it has no former networks yet
    former = {name.replace('networks.', 'former.', 1): value
              for name, value in converted.items()
              if not name.startswith('networks.third.')}
    return dict(converted, **former, rounds=torch.tensor(0))


def convert_checkpoint(source: str, out: str, config: str | None = None) -> str:
    """Write a checkpoint of the original code as one of this package.

    The weights are the same numbers, the last layer's those of the data set's joints.
    The config stands in the checkpoint and beside it, with images in BGR, as the
    original code trained.

    Args:
        source (str): Checkpoint of the original training.
        out (str): The file to write, ``.pth``; the config gets ``.py``.
        config (str): Config of a :class:`PoseCons`, :class:`PoseDual` or
            :class:`PoseTriple` with the same networks, whose joints, COCO's 17 or
            MPII's 16, are kept.

    Returns:
        str: What was written.

    Raises:
        MissingFile: If there is no such checkpoint or config.
        UserError: If the checkpoint does not fit the config, or something else is
            where the config is to be written.
    """
    if not out.endswith('.pth'):
        raise UserError(f'OUT must end in .pth, but it is {out}')
    content = read_original(source)
    if config is None:
        raise UserError(
            f'{source} is of the original PoseCons, PoseDual or SSPCM. Name the config '
            'of the same networks, which says whose joints its 24 outputs are: '
            '--config configs/posedual_res18_coco1k.py')
    given = Config.fromfile(existing_file(config, 'config'))
    network = given.model.get('network')
    joints = network and network.head.get('out_channels')
    if joints not in JOINTS:
        raise UserError(
            f'{config} is to have a PoseCons or its kin whose network predicts the '
            f'{" or ".join(map(str, JOINTS))} joints of COCO or MPII, but it has '
            f'{joints or given.model.type}')
    name, order = JOINTS[joints]
    state = convert_posedual_state(content['state_dict'], order)
    init_default_scope('mmpose')
    check_fits(state, MODELS.build(given.model).state_dict(), source,
               f'Give the config of the same networks, other than {config}')
    preprocessor = given.model.get('data_preprocessor') or network.data_preprocessor
    preprocessor.bgr_to_rgb = False
    meta = {key: content[key] for key in ('epoch', )
            if isinstance(content.get(key), int)}
    meta.update(cfg=given.pretty_text, dataset_meta=parse_pose_metainfo(
        dict(from_file=f'configs/_base_/datasets/{name}.py')))
    write_with_config(dict(meta=meta, state_dict=state), out, given)
    return f'{given.model.type} with the {joints} joints of {name.upper()}, in BGR'
