from mmengine.hooks import Hook
from mmpose.registry import HOOKS

from ...common.hooks import model_of
from ...datasets.transforms.device_targets import draw_device_targets


@HOOKS.register_module()
class DeviceTargetsHook(Hook):
    """Draws the targets of :class:`DeviceTargets`, on the device of the model."""

    # after hooks that look at a batch, such as PoseDensityHook
    priority = 'LOW'

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Draw the targets of a batch."""
        device = next(model_of(runner).parameters()).device
        draw_device_targets(data_batch['data_samples'], device)
