"""`MaskedModel`: a network on masked inputs, as a batch of games.

It takes a network, inputs, players, labels, a baseline and a score. It gives the network's outputs and scores
for any coalition, and leaves the network as it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from harsanyi.interactions.game.baselines import EMBEDDING_ZEROS, UNATTENDED, Baseline, baseline_named
from harsanyi.interactions.game.checks import (
    attention_mask_of,
    checked_labels,
    embedding_layer,
    masked_key,
    placed,
    require_classes,
    require_fit,
    require_last_token,
    require_maskable,
)
from harsanyi.interactions.game.forward import (
    activations_measured,
    channels_last,
    computing,
    convolves,
    evaluating,
    hooked,
    logits_of,
    module_named,
    require_precision,
    same_to_rounding,
    state_of,
)
from harsanyi.interactions.game.game import of_classes
from harsanyi.interactions.game.players import Players
from harsanyi.interactions.game.scores import LAST_POSITION, Score, score_named
from harsanyi.interactions.machine.batching import batch_fitting
from harsanyi.interactions.machine.memory import is_out_of_memory
from harsanyi.interactions.machine.onednn import FasterLinear

# The name of an input that is a plain tensor.
INPUTS = "inputs"


class MaskedModel:
    """A network's score on masked inputs, as a batch of games: one input, one label each.

    v(T) = score(model(x with every player outside T replaced by the baseline), label).

    The model runs on its own device in evaluation mode. Afterwards it is as before: device, mode of every
    module, hooks, gradients. It may return logits, a mapping or object with `logits`, or a tuple that begins
    with them.

    Args:
        model: a module or callable. A mapping of inputs is passed by keyword, a tensor by position.
        inputs: a tensor of floats or token ids `(games, ...)`, or a mapping of such tensors (`input_ids`,
            `attention_mask`, …) of which `masked` is masked.
        players: the owner of each element.
        labels: `(games,)` class indices, column indices or token ids, as the score takes them.
        baseline: the value of a masked element: "zeros", "data_mean", "input_mean", "blur", `token(id)`,
            a tensor, a number, a callable of the inputs. "embedding_zeros" masks the embeddings instead,
            "unattended" the attention mask.
        score: "log_odds", "logit", "log_prob", "output", "next_token_log_odds" or a callable
            `(outputs, labels) -> (batch,)`.
        layer: name of a module whose output is masked instead of the input; players and baseline then refer
            to that output. The module must run once in a forward.
        masked: the key of the masked tensor in a mapping; by default `input_ids`, `pixel_values` or
            `inputs_embeds`, the first one present.
        precision: of the forwards. "float32", the network's own type without TF32; "tf32" (GPUs), "bf16" or
            "fp16", whose errors grow with the order of an interaction: measure them with `precision_error`.
            Scores and all that follows are in float64 always.

    Raises:
        ValueError: for inputs that are not finite, labels outside the classes, players that do not fit the
            inputs, unknown names.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> game.games, game.n
    (5, 4)
    """

    def __init__(
        self,
        model: Callable[..., Any],
        inputs: Tensor | Mapping[str, Tensor],
        players: Players,
        *,
        labels: Tensor | np.ndarray | Sequence[int] | None = None,
        baseline: str | Baseline | Tensor | float = "zeros",
        score: str | Score = "log_odds",
        layer: str | None = None,
        masked: str | None = None,
        precision: str = "float32",
    ) -> None:
        if isinstance(baseline, str) and baseline == EMBEDDING_ZEROS:
            layer, baseline = embedding_layer(model), "zeros"
        if isinstance(baseline, str) and baseline == UNATTENDED:
            masked, baseline = attention_mask_of(inputs, masked, layer), "zeros"
        self.model, self.layer = model, layer
        self.score = score_named(score)
        self.inputs = placed(inputs, model)
        self.precision = precision
        self.masked = None if isinstance(self.inputs, Tensor) else masked_key(self.inputs, masked)
        self.players = players.to(self.device)
        require_maskable(self.source, self.players)
        if self.score in LAST_POSITION:
            require_last_token(self.inputs)
        require_precision(precision, self.device)
        self.labels = checked_labels(labels, self.games, self.score, self.device)
        self._choices: tuple[Any, dict[Any, Any]] = (None, {})
        self._current: tuple[Tensor, Tensor] | None = None  # games and coalitions of the running forward
        self._elements, self._images_last = self.source, False
        self._activation_bytes, self.forward_bytes, self._elements = self._probe()
        self._images_last = self._likes_images_last()
        filled = baseline_named(baseline)(self._elements)
        self.baseline = require_fit(filled, self.players, self._elements)
        self._to_zeros = layer is None and self._elements.is_floating_point() and not self.baseline.any()

    @property
    def n(self) -> int:
        """Players of each game."""
        return self.players.n

    @property
    def games(self) -> int:
        """How many games."""
        return len(self.source)

    @property
    def device(self) -> torch.device:
        """The device of the inputs and the model."""
        return self.source.device

    @property
    def choices(self) -> dict[Any, Any]:
        """The plans chosen for this game; empty again after a change of the weights."""
        state = state_of(self.model)
        if self._choices[0] != state:
            self._choices = (state, {})
        return self._choices[1]

    def batch_size(self) -> int:
        """The largest power-of-two batch whose largest activation fits the caches (CPU) or free memory (GPU).

        The caches are those of all threads together, since they share a forward. The size follows from one
        forward and not from a stopwatch, so that runs repeat.
        """
        return batch_fitting(self._activation_bytes, self.device, threads=torch.get_num_threads())

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model in evaluation mode and its precision, without the layer's hook; undone afterwards."""
        with evaluating(self.model), computing(self.precision, self.device):
            yield

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """The model in evaluation mode and its precision, its layer's hook in place; undone afterwards."""
        with ExitStack() as stack:
            stack.enter_context(self.evaluating())
            if self.layer is not None:
                stack.enter_context(hooked(module_named(self.model, self.layer), self._mask_output))
            if self.device.type == "cpu" and self.precision == "float32":
                stack.enter_context(FasterLinear())
            yield

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The scores of some coalitions of some games; to be called inside `prepared()`."""
        return self.scored(self.forward(games, coalitions), games)

    def outputs(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float[Tensor, "batch classes"]:
        """The network's outputs for all classes; to be called inside `prepared()`."""
        return of_classes(self.forward(games, coalitions))

    def scored(
        self, outputs: Float[Tensor, "batch ..."], games: Int64[Tensor, " batch"]
    ) -> Float64[Tensor, " batch"]:
        """The scores of the games' labels, from the network's outputs.

        Args:
            outputs: of the network.
            games: the game of each row.
        """
        return self.score(outputs, None if self.labels is None else self.labels[games]).double()

    def masked_elements(
        self,
        games: Int64[Tensor, " batch"],
        coalitions: Bool[Tensor, "batch players"],
        *,
        images_last: bool = False,
    ) -> Tensor:
        """The masked elements of pairs (game, coalition): inputs, or outputs of `layer`.

        Args:
            games: the game of each pair.
            coalitions: the coalition of each pair.
            images_last: whether to put the channels of images last in memory, where convolutions are faster.

        Returns:
            `(pairs, ...)` in the type of the elements, the baseline in place of absent players.
        """
        elements = _rows(self._elements, games)
        last = images_last or self._images_last
        return self._mask(channels_last(elements) if last else elements, games, coalitions)

    @property
    def beside(self) -> dict[str, Tensor]:
        """All games' inputs beside the masked one, by name; with `layer`, all inputs."""
        inputs = {INPUTS: self.inputs} if isinstance(self.inputs, Tensor) else dict(self.inputs)
        if self.layer is None:
            del inputs[self.masked or INPUTS]
        return inputs

    def outputs_of(self, elements: Tensor, beside: Mapping[str, Tensor]) -> Tensor:
        """The network's outputs for masked elements.

        Args:
            elements: as `masked_elements` gives them.
            beside: the rows of `self.beside` for the same games.
        """
        if self.layer is None:
            return self._outputs(elements, beside)
        others = dict(beside)
        with hooked(module_named(self.model, self.layer), lambda module, args, output: elements):
            return self._outputs(others.pop(self.masked or INPUTS), others)

    def forward(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float[Tensor, "batch *outputs"]:
        """The network's outputs on masked inputs, those that the score reads; call it inside `prepared()`."""
        self._current = games, coalitions
        source = self.masked_elements(games, coalitions) if self.layer is None else self.source[games]
        outputs = self._forward(source, games)
        self._current = None
        return outputs

    @property
    def source(self) -> Tensor:
        """The input that is masked; with `layer`, the input that leads to that layer."""
        source: Tensor = self.inputs if isinstance(self.inputs, Tensor) else self.inputs[self.masked]
        return source

    def _forward(self, source: Tensor, games: Tensor) -> Tensor:
        """The network's outputs for sources, with the other inputs of their games."""
        inputs = {} if isinstance(self.inputs, Tensor) else self.inputs
        return self._outputs(
            channels_last(source) if self._images_last else source,
            {key: value[games] for key, value in inputs.items() if key != self.masked},
        )

    def _outputs(self, source: Tensor, others: Mapping[str, Tensor]) -> Tensor:
        """The network's outputs for one tensor by position, or for several by keyword."""
        if isinstance(self.inputs, Tensor):
            return self.read(self.model(source))
        return self.read(self.model(**{str(self.masked): source}, **others))

    def read(self, returned: Any) -> Tensor:
        """The logits in the model's return value; only the last position where the score reads no other."""
        logits = logits_of(returned)
        return logits[:, -1:] if self.score in LAST_POSITION and logits.ndim == 3 else logits

    def _mask(self, elements: Tensor, games: Tensor, coalitions: Tensor) -> Tensor:
        """Elements of present players and of the background stay; the others get the baseline."""
        keep = self.players.keep(games, coalitions, elements.ndim)
        if self._to_zeros:
            return elements * keep  # equal to torch.where for finite numbers, and faster
        baseline = _rows(self.baseline, games) if len(self.baseline) == self.games else self.baseline
        return torch.where(keep, elements, baseline)

    def _mask_output(self, module: nn.Module, args: Any, elements: Any) -> Tensor | None:
        """Forward hook of `layer`."""
        if self._current is None:
            raise ValueError(
                f"layer {self.layer!r} runs more than once in a forward; name one that runs once"
            )
        games, coalitions = self._current
        self._current = None
        return self._mask(elements, games, coalitions)

    def _probe(self) -> tuple[int, int, Tensor]:
        """Bytes of the largest activation and of all, and the elements to mask, from unmasked forwards.

        With `layer` every game needs a forward for its elements. Without it the elements are the inputs, and
        one game is enough.
        """
        sizes: list[int] = []
        elements: list[Tensor] = []

        def record(module: nn.Module, args: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise ValueError(
                    f"layer {self.layer!r} gives {type(output).__name__}; name one giving a tensor"
                )
            elements.append(output)

        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(self.evaluating())
            if self.layer is not None:
                stack.enter_context(hooked(module_named(self.model, self.layer), record))
            for game in range(1 if self.layer is None else self.games):
                sizes.clear()
                games = torch.tensor([game], device=self.device)
                with activations_measured(self.model, sizes):
                    outputs = self._forward(self.source[games], games)
        require_classes(self.labels, outputs)
        if len(elements) not in (0, self.games):
            raise ValueError(
                f"layer {self.layer!r} does not run exactly once in a forward; name one that does"
            )
        largest = max(sizes, default=max(self.source[0].nbytes, 1))
        return largest, max(sum(sizes), largest), torch.cat(elements) if elements else self.source

    def _likes_images_last(self) -> bool:
        """Whether this is a convolutional network on a CPU with the same outputs for channels-last inputs.

        Convolutions are up to twice as fast then. A network that depends on strides (`view`) may raise.
        """
        images = self.source.ndim == 4 and self.source.dtype in (torch.float32, torch.float64)
        on_cpu = self.device.type == "cpu" and self.precision == "float32"
        if not (images and on_cpu and convolves(self.model)):
            return False
        games = torch.zeros(1, dtype=torch.int64)
        with torch.inference_mode(), self.evaluating():
            expected = self._forward(self.source[games], games)
            try:
                outputs = self._forward(channels_last(self.source[games]), games)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                return False
        return same_to_rounding(outputs, expected)


def _rows(tensor: Tensor, games: Tensor) -> Tensor:
    """The rows of some games; one row, which broadcasts, where all are the same game."""
    return tensor[games[:1]] if bool((games == games[:1]).all()) else tensor[games]
