"""ONNX files: exported, quantized, and run in the place of a stock model."""

from .export import export_onnx
from .pose_estimator import OnnxPoseEstimator, with_onnx_file
from .quantization import quantize_onnx

__all__ = ['OnnxPoseEstimator', 'export_onnx', 'quantize_onnx',
           'with_onnx_file']
