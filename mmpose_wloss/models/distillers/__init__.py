from .fast_pose_distiller import FastPoseDistiller

__all__ = ['FastPoseDistiller']
