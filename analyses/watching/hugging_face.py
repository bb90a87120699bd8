"""The callback of Hugging Face's Trainer."""

from typing import Any

from transformers import TrainerCallback

from harsanyi.analyses.watching.watch import Watch
from harsanyi.analyses.watching.watcher import Watcher


class HuggingFaceCallback(TrainerCallback):
    """Watches interactions while a `transformers.Trainer` trains, and logs them by `Trainer.log`.

    What is logged goes to all that the trainer reports to (TensorBoard, Weights & Biases, …), as
    `knowledge/preserved_share` and others, at the step at which an evaluation is done; `knowledge/step` is
    that of the weights. In several processes the first one evaluates, and the others wait for it.

    Args:
        trainer: gives its logger; add the callback to it by `trainer.add_callback`.
        watch: what is watched, how often, and for how long.

    Attributes:
        watcher: what was watched so far is its `watched`.

    Example::

        watch = Watch(inputs=batch, players=players, labels=labels, folder="runs/watched", seconds=2)
        trainer.add_callback(HuggingFaceCallback(trainer, watch))
        trainer.train()
    """

    def __init__(self, trainer: Any, watch: Watch) -> None:
        self.trainer = trainer
        self.watcher = Watcher(watch, self._log)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        """As `TrainerCallback` is called: evaluates the start."""
        if state.is_world_process_zero:
            self.watcher.start(model, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        """As `TrainerCallback` is called: goes on within the budget of a step."""
        if state.is_world_process_zero:
            self.watcher.step(model, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        """As `TrainerCallback` is called: evaluates the end."""
        if state.is_world_process_zero:
            self.watcher.finish(model, state.global_step)

    def _log(self, numbers: dict[str, float], step: int) -> None:
        should_log = self.trainer.control.should_log
        self.trainer.log(numbers)
        self.trainer.control.should_log = should_log  # else the trainer's own numbers of this step were lost
