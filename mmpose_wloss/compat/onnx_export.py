"""``torch.onnx.export`` by tracing, which was the only way before torch 2.5.

From torch 2.9 on another exporter is the default, which needs a package more.
It can go when our exports take that one.
"""

import inspect

import torch


def torchscript_onnx_options() -> dict:
    """Options of ``torch.onnx.export`` that choose the exporter by tracing."""
    parameters = inspect.signature(torch.onnx.export).parameters
    return dict(dynamo=False) if 'dynamo' in parameters else {}
