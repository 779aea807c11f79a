from .onnx_pose_estimator import OnnxPoseEstimator

__all__ = ['OnnxPoseEstimator']
