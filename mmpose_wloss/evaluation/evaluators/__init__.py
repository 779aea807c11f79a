from .networks_evaluator import NetworksEvaluator

__all__ = ['NetworksEvaluator']
