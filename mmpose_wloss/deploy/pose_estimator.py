"""ONNX files in the place of the model that they were exported from."""

from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptConfigType
from torch import Tensor, nn

from ..common.errors import UserError
from ..models.wrapped_networks import stock_config
from .images import input_size
from .network import SIMCC, OnnxNetwork


def with_onnx_file(config: Config, file: str, threads: int = 0) -> Config:
    """A config that tests an ONNX file.

    Args:
        config (Config): The config that the file was exported with.
        file (str): The ONNX file.
        threads (int): As of :class:`OnnxNetwork`.
    """
    stock = stock_config(config)
    stock.model = dict(type='OnnxPoseEstimator', network=stock.model,
                       onnx_file=str(file), threads=threads)
    stock.load_from = None
    return stock


@MODELS.register_module()
class OnnxPoseEstimator(TopdownPoseEstimator):
    """A stock top-down estimator whose network is an ONNX file.

    Backbone, neck and the layers of the head are run by onnxruntime;
    preprocessing, flip test and decoding are the stock code, as the network's
    config has them. So whatever tests a stock model tests an ONNX file:

    .. code-block:: python

        model = dict(type='OnnxPoseEstimator', network=<stock model config>,
                     onnx_file='student.onnx')

    Args:
        network (dict): Config of the ``TopdownPoseEstimator`` that was exported.
            Losses, codec and ``test_cfg`` may differ, as far as sizes agree.
        onnx_file (str): What :func:`export_onnx` wrote.
        providers (Sequence[str], optional): As of :class:`OnnxNetwork`.
        threads (int): Likewise.
        data_preprocessor (dict, optional): Used where ``network`` has none.
        test_cfg (dict, optional): Replaces the network's.
        metainfo (dict, optional): Replaces the network's.

    Raises:
        MissingFile: If there is no such file.
        UserError: If onnxruntime is not installed, or the file is not of this network.
    """

    def __init__(self,
                 network: ConfigType,
                 onnx_file: str,
                 providers: Sequence[str] | None = None,
                 threads: int = 0,
                 data_preprocessor: OptConfigType = None,
                 test_cfg: OptConfigType = None,
                 metainfo: dict | None = None):
        kind = network.get('type')
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
        if kind is not TopdownPoseEstimator:
            raise UserError('network must be the config of a TopdownPoseEstimator, but '
                            f'its type is {network.get("type")}')
        data_preprocessor = network.get('data_preprocessor') or data_preprocessor
        super().__init__(
            backbone=dict(type=OnnxNetwork, file=onnx_file,
                          providers=providers, threads=threads),
            head=dict(network['head'],
                      type=decoding_head(network['head']['type'])),
            test_cfg=network.get('test_cfg') if test_cfg is None else test_cfg,
            data_preprocessor=data_preprocessor,
            metainfo=metainfo or network.get('metainfo'))
        self.backbone.check_fits(
            dict(network, data_preprocessor=data_preprocessor))
        self._check_codec()
        self.head.multi_stage = self.backbone.multi_stage
        # an old config's head brings one, which is in the file too
        self.neck = None
        # distributed tests refuse a model without any
        self.no_weight = nn.Parameter(torch.zeros(()))

    def _check_codec(self) -> None:
        """Check that the codec decodes outputs of the file's sizes."""
        network, codec = self.backbone, self.head.decoder
        sizes = [('input_size', network.input_size, input_size(self))]
        if network.output_names == SIMCC:
            lengths = tuple(shape[1] for shape in network.output_shapes)
            sizes.append(('simcc_split_ratio, which gives lengths of', lengths,
                          [size * codec.simcc_split_ratio
                           for size in codec.input_size]))
        else:
            shape, = network.output_shapes
            sizes.append(('heatmap_size', shape[:0:-1], codec.heatmap_size))
        for name, ours, theirs in sizes:
            if ours != tuple(int(size) for size in theirs):
                raise UserError(
                    f'{network.file} does not fit the codec '
                    f'{type(codec).__name__}: {name} is {tuple(ours)} in the '
                    f'file and {tuple(theirs)} in the config')

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """Refuse to train: an ONNX file has no gradients."""
        raise UserError(
            f'{self.backbone.file} cannot be trained: an ONNX file has no gradients')

    # MMEngine loads whatever fits by this, and would load nothing
    def _load_from_state_dict(self, *args, **kwargs) -> None:
        raise UserError(
            f'{self.backbone.file} holds the weights already, and no checkpoint can be '
            'loaded into it. Export the checkpoint, and give the new file')


def decoding_head(kind: str | type) -> type:
    """A class of stock heads without its layers, which decodes what it is given."""
    kind = MODELS.get(kind) if isinstance(kind, str) else kind

    class DecodingHead(kind):
        """The stock head, whose layers are in the ONNX file."""

        multi_stage = False

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            for name, _ in list(self.named_children()):
                delattr(self, name)

        def forward(self, outputs):
            return [outputs] if self.multi_stage else outputs

    return DecodingHead
