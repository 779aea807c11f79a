from .evaluators import *  # noqa: F401, F403
