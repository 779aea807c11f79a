from ..compat.compilation import compile_networks_alone
from .backbones import *  # noqa: F401, F403
from .distillers import *  # noqa: F401, F403
from .hard_views import *  # noqa: F401, F403
from .heads import *  # noqa: F401, F403
from .losses import *  # noqa: F401, F403
from .necks import *  # noqa: F401, F403
from .pose_estimators import *  # noqa: F401, F403

compile_networks_alone()
