"""The callback of Lightning's Trainer."""

from typing import Any

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:  # the package by its other name
    from pytorch_lightning import Callback  # type: ignore[assignment]

from harsanyi.analyses.watching.watch import Watch
from harsanyi.analyses.watching.watcher import Watcher


class LightningCallback(Callback):
    """Watches interactions while a Lightning `Trainer` trains, and logs them to all of its loggers.

    The numbers are called `knowledge/preserved_share` and so on, and are logged at the step of the weights.
    In several processes the first one evaluates, and the others wait for it.

    Args:
        watch: what is watched, how often, and for how long. Its `network` names the attribute of the module
            that is the network, where the module's own forward is not what is to be watched.

    Attributes:
        watcher: what was watched so far is its `watched`; None before training.

    Example::

        watch = Watch(inputs=batch, players=players, labels=labels, folder="runs/watched", network="net")
        lightning.Trainer(callbacks=[LightningCallback(watch)]).fit(module, loader)
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.watcher: Watcher | None = None
        self._step = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """As `Callback` is called: evaluates the start."""
        self._step = trainer.global_step
        if trainer.is_global_zero:

            def log(numbers: dict[str, float], step: int) -> None:
                for logger in trainer.loggers:
                    logger.log_metrics(numbers, step=step)

            self.watcher = Watcher(self.watch, log)
            self.watcher.start(pl_module, self._step)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """As `Callback` is called: goes on within the budget of a step.

        Batches whose gradients are only gathered are no steps.
        """
        if self.watcher is not None and trainer.global_step > self._step:
            self._step = trainer.global_step
            self.watcher.step(pl_module, self._step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """As `Callback` is called: evaluates the end."""
        if self.watcher is not None:
            self.watcher.finish(pl_module, trainer.global_step)
