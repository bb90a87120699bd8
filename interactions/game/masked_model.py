"""`MaskedModel`: a network on masked inputs, as a batch of games.

It takes a network, inputs, players, labels, a baseline and a score. It gives the network's outputs and scores
for any coalition, and leaves the network as it was.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from harsanyi.accelerator import require_float64
from harsanyi.interactions.effects.about import About
from harsanyi.interactions.game.baselines import EMBEDDING_ZEROS, UNATTENDED, Baseline, baseline_named
from harsanyi.interactions.game.checks import (
    attention_mask_of,
    checked_labels,
    embedding_layer,
    require_classes,
    require_last_token,
    require_maskable,
    require_rows,
    require_weights,
)
from harsanyi.interactions.game.conditions import Conditions, required
from harsanyi.interactions.game.elements import Elements
from harsanyi.interactions.game.first_forwards import likes_images_last, probed
from harsanyi.interactions.game.forward import (
    LAST_ALONE,
    arguments,
    channels_last,
    computing,
    evaluating,
    hooked,
    logits_of,
    module_named,
    require_precision,
    state_of,
)
from harsanyi.interactions.game.game import of_classes
from harsanyi.interactions.game.inputs import INPUTS, ModelInputs
from harsanyi.interactions.game.players import Players
from harsanyi.interactions.game.reading import Outputs, Reading
from harsanyi.interactions.game.scores import (
    LAST_POSITION,
    OF_MAPS,
    Score,
    logit,
    pixel_log_odds_of_all,
    score_name,
    score_named,
    unit_of,
)
from harsanyi.interactions.game.trial import Trial, tried_pairs
from harsanyi.interactions.game.tried import trial_of_model
from harsanyi.interactions.machine.batching import batch_fitting
from harsanyi.interactions.machine.onednn import faster_linear
from harsanyi.shown import Card, Shown, counted, first_few

# The key of the trial among the choices of a game.
TRIAL = "trial"


class MaskedModel(Shown):
    """A network's score on masked inputs, as a batch of games: one input, one label each.

    v(T) = score(model(x with every player outside T replaced by the baseline), label).

    The model runs on its own device in evaluation mode. Afterwards it is as before: device, mode of every
    module, hooks, gradients, buffers. It may return logits, a mapping or object with `logits`, or a tuple
    that begins with them or with a loss.

    Before its first table a game is tried on a few inputs. Outputs that depend on chance, or on what else is
    in the batch, are refused with the reason (`trial`).

    It may fail on some games: `first` is the first one that it answers, as far as was tried.

    Args:
        model: a module or callable. A mapping of inputs is passed by keyword, a tensor by position.
        inputs: a tensor of floats or token ids `(games, ...)`, or a mapping of such tensors (`input_ids`,
            `attention_mask`, …) of which `masked` is masked. Each has a row a game.
        players: the owner of each element.
        labels: `(games,)` class indices, column indices or token ids, as the score takes them.
        baseline: the value of a masked element: "zeros", "data_mean", "input_mean", "blur", `token(id)`,
            a tensor, a number, a callable of the inputs. "embedding_zeros" masks the embeddings instead,
            "unattended" the attention mask.
        score: "log_odds", "logit", "log_prob", "sigmoid_log_odds" (of one label of several),
            "pixel_log_odds" (of a class, over all pixels), "output", "next_token_log_odds" or a callable
            `(outputs, labels) -> (batch,)`.
        layer: name of a module whose output is masked instead of the input; players and baseline then refer
            to that output. The module must run once in a forward.
        masked: the key of the masked tensor in a mapping; by default `input_ids`, `pixel_values` or
            `inputs_embeds`, the first one present.
        precision: of the forwards. "float32", the network's own type without TF32; "tf32" (GPUs), "bf16" or
            "fp16", whose errors grow with the order of an interaction: measure them with `precision_error`.
            Scores and all that follows are in float64 always.
        shared: what every forward gets as it is, by the name of the model's argument: inputs that are the
            same for all games, such as the prompts that every image is compared with.
        probabilities: whether the outputs are probabilities and not logits, for "log_odds" and "log_prob". By
            default those of a softmax are recognised by their sum, those of a last sigmoid by the operation.
        batch_size: the most inputs in a forward; by default what suits the device. 1 for a model whose
            outputs for one input depend on the others of a batch.
        about: what inputs, classes and network are called, for tables, files and figures; `game.about` adds
            players, labels and unit.

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
        shared: Mapping[str, Any] | None = None,
        probabilities: bool | None = None,
        batch_size: int | None = None,
        about: About = About(),
    ) -> None:
        require_weights(model)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"expected a batch_size of 1 or more, got {batch_size}")
        if isinstance(baseline, str) and baseline == EMBEDDING_ZEROS:
            layer, baseline = embedding_layer(model), "zeros"
        if isinstance(baseline, str) and baseline == UNATTENDED:
            masked, baseline = attention_mask_of(inputs, masked, layer), "zeros"
        self.model, self.layer = model, layer
        self.score = score_named(score)
        self.model_inputs = ModelInputs.of(inputs, masked, shared, model)
        self.precision, self._probabilities, self._batch_size = precision, probabilities, batch_size
        require_float64(self.device)
        self.players = players.to(self.device)
        require_maskable(self.source, self.players)
        if self.score in LAST_POSITION:
            require_last_token(self.inputs)
        require_precision(precision, self.device)
        self.labels = checked_labels(labels, self.games, self.score, self.device)
        self._about = about
        about.require(self.games, self.n)
        self._choices: tuple[Any, dict[Any, Any]] = (None, {})
        self._current: tuple[Tensor, Tensor] | None = None  # games and coalitions of the running forward
        self._reading: Reading | None = None  # of the last trial
        self._conditions: Conditions | None = None  # on the outputs of the forwards that are running
        probe = probed(self)
        require_classes(self.labels, probe.outputs, self.score)
        self._activation_bytes, self.work = probe.largest, probe.work
        self.output_type, self.first = probe.outputs.dtype, probe.first
        self.images_last = likes_images_last(self, probe.number, probe.outputs)
        self.elements = Elements.of(
            probe.elements, baseline_named(baseline), self.players, finite=layer is None
        )

    @property
    def n(self) -> int:
        """Players of each game."""
        return self.players.n

    @property
    def games(self) -> int:
        """How many games."""
        return len(self.source)

    @property
    def about(self) -> About:
        """What inputs, players, labels, classes and network are called, and the unit of the score."""
        name = score_name(self.score)
        known = self._about
        return replace(
            known,
            players=known.players or self.players.called(),
            labels=known.labels or self._labels_in_words(known.classes),
            network=known.network or type(self.model).__name__,
            score=name,
            unit="score" if name.startswith("<") else unit_of(name),
        )

    @property
    def baseline(self) -> Tensor:
        """What masked elements become, with an axis of games of length 1 or `games`."""
        return self.elements.baseline

    @property
    def device(self) -> torch.device:
        """The device of the inputs and the model."""
        return self.source.device

    @property
    def inputs(self) -> Any:
        """The inputs of all games, a tensor or a mapping of tensors, on the model's device."""
        return self.model_inputs.tensors

    @property
    def masked(self) -> str | None:
        """The name of the input that is masked; None for a tensor."""
        return self.model_inputs.masked

    @property
    def shared(self) -> dict[str, Any]:
        """What every forward gets as it is, by name."""
        return self.model_inputs.shared

    @property
    def source(self) -> Tensor:
        """The input that is masked; with `layer`, the input that leads to that layer."""
        return self.model_inputs.source

    @property
    def trial(self) -> Trial:
        """Whether outputs depend on chance or on the batch; tried once for the model's weights."""
        trial: Trial | None = self.choices.get(TRIAL)
        if trial is None:
            trial = self.choices[TRIAL] = trial_of_model(self)
            self._reading = Reading.of(self.score, trial, self._probabilities)
            for note in self._reading.notes if self._reading.warns else ():
                warnings.warn(note, stacklevel=2)
        return trial

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how the outputs are read, for a report; none where nothing is unusual."""
        return self._tried_reading.notes

    @property
    def probabilities(self) -> bool:
        """Whether the outputs are read as probabilities."""
        return self._tried_reading.outputs is not Outputs.LOGITS

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
        fitting = batch_fitting(self._activation_bytes, self.device, threads=torch.get_num_threads())
        return fitting if self._batch_size is None else min(self._batch_size, fitting)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model in evaluation mode and its precision, without the layer's hook; undone afterwards."""
        with evaluating(self.model), computing(self.precision, self.device):
            yield

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """`masking()`, for a game that was tried; a ValueError where its outputs depend on chance."""
        self.trial.require_repeatable()
        with self.masking():
            yield

    @contextmanager
    def masking(self) -> Iterator[None]:
        """The model in evaluation mode and its precision, its layer's hook in place; undone afterwards."""
        with ExitStack() as stack:
            stack.enter_context(self.evaluating())
            if self.layer is not None:
                stack.enter_context(hooked(module_named(self.model, self.layer), self._mask_output))
            if self.device.type == "cpu" and self.precision == "float32":
                stack.enter_context(faster_linear())
            before, self._conditions = self._conditions, Conditions()
            try:
                yield
                self._conditions.settle()
            finally:
                self._conditions = before

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The scores of some coalitions of some games; to be called inside `prepared()`."""
        return self.scored(self.forward(games, coalitions), games)

    def outputs(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float[Tensor, "batch classes"]:
        """The network's outputs for all classes; to be called inside `prepared()`."""
        return self.of_all_classes(self.forward(games, coalitions))

    def of_all_classes(self, outputs: Float[Tensor, "batch *outputs"]) -> Float[Tensor, "batch classes"]:
        """What is kept of outputs for all classes: they themselves; of maps the score of each class.

        Args:
            outputs: of the network.
        """
        return pixel_log_odds_of_all(outputs) if self.score in OF_MAPS else of_classes(outputs)

    def scored(
        self, outputs: Float[Tensor, "batch ..."], games: Int64[Tensor, " batch"]
    ) -> Float64[Tensor, " batch"]:
        """The scores of the games' labels, from the network's outputs.

        Inside `prepared()` an accelerator is asked at its end whether outputs that are read as probabilities
        are some.

        Args:
            outputs: of the network, or what is kept of them.
            games: the game of each row.

        Raises:
            ValueError: for outputs that are not as the score reads them.
        """
        labels = None if self.labels is None else self.labels[games]
        if self.score in OF_MAPS and outputs.ndim == 2 and labels is not None:
            return logit(outputs, labels)  # kept are the scores themselves
        require = required if self._conditions is None else self._conditions.require
        return self._tried_reading.scores(outputs, labels, require)

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
        return self.elements.rows(games, coalitions, images_last=images_last or self.images_last)

    def changed(self, **arguments: Any) -> "MaskedModel":
        """The same game with other arguments.

        Args:
            arguments: of `MaskedModel`, in place of this game's.

        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0] * 5)
        >>> game.changed(labels=[1] * 5).labels.tolist()
        [1, 1, 1, 1, 1]
        """
        own = {
            name: getattr(self, name)
            for name in (
                "model", "inputs", "players", "labels", "baseline", "score", "layer", "masked", "precision",
                "shared",
            )
        }  # fmt: skip
        declared: dict[str, Any] = {"probabilities": self._probabilities, "batch_size": self._batch_size}
        # Names of what is replaced go with it.
        gone: dict[str, Any] = {"labels": ()} if {"labels", "inputs"} & set(arguments) else {}
        gone |= {"inputs": ()} if "inputs" in arguments else {}
        declared |= {"about": replace(self._about, **gone)}
        return MaskedModel(**own | declared | arguments)

    def select(self, games: Sequence[int], **arguments: Any) -> "MaskedModel":
        """Some of the games, each with the baseline that it has among all of them.

        Args:
            games: their numbers.
            arguments: of `MaskedModel`, in place of this game's.

        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
        >>> game.select([1, 2]).labels.tolist()
        [1, 2]
        """
        rows = torch.as_tensor(games, dtype=torch.int64, device=self.device)
        inputs = self.inputs
        of_these: dict[str, Any] = {
            "inputs": inputs[rows]
            if isinstance(inputs, Tensor)
            else {name: value[rows] for name, value in inputs.items()},
            "players": self.players.of_games(rows),
            "labels": None if self.labels is None else self.labels[rows],
            "baseline": self.baseline_of(games),
            "about": self._about.select(rows.cpu(), self.games),
        }
        return self.changed(**of_these | arguments)

    def baseline_of(self, games: Sequence[int]) -> Tensor:
        """The baseline of some games, with an axis of games of length 1 or theirs."""
        return self.baseline[list(games)] if len(self.baseline) == self.games > 1 else self.baseline

    @property
    def reads_last(self) -> bool:
        """Whether the score reads the last position of a text alone."""
        return self.score in LAST_POSITION

    @property
    def beside(self) -> dict[str, Tensor]:
        """All games' inputs beside the masked one, by name; with `layer`, all inputs."""
        return self.model_inputs.beside if self.layer is None else self.model_inputs.named

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
        if self.layer is None:
            outputs = self._outputs(self.masked_elements(games, coalitions), self._rows_beside(games))
        else:
            outputs = self._unmasked(games, self.images_last)
        self._current = None
        return require_rows(outputs, len(games))

    def answered(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float[Tensor, "batch *outputs"]:
        """As `forward`, without a forward for those that the trial has asked for."""
        if (outputs := self.trial.outputs) is None:
            return self.forward(games, coalitions)
        owners, masks = tried_pairs(self.model_inputs.features, self.n)
        same = (owners == games[:, None]) & (masks == coalitions[:, None]).all(2)
        answers = outputs[same.int().argmax(1)]
        if len(missing := (~same.any(1)).nonzero()[:, 0]):
            answers[missing] = self.forward(games[missing], coalitions[missing])
        return answers

    def unmasked(
        self, games: Int64[Tensor, " batch"], *, images_last: bool = False
    ) -> Float[Tensor, "batch *outputs"]:
        """The network's outputs on inputs as they are; call it inside `evaluating()`.

        Args:
            games: whose inputs.
            images_last: whether to put the channels of images last in memory.
        """
        return require_rows(self._unmasked(games, images_last), len(games))

    def _unmasked(self, games: Tensor, images_last: bool) -> Tensor:
        source = self.source[games]
        return self._outputs(channels_last(source) if images_last else source, self._rows_beside(games))

    def _rows_beside(self, games: Tensor) -> dict[str, Tensor]:
        """The inputs beside the masked one, for some games."""
        return {name: value[games] for name, value in self.model_inputs.beside.items()}

    def _outputs(self, source: Tensor, others: Mapping[str, Tensor]) -> Tensor:
        """The network's outputs for rows of its inputs."""
        return self.read(self.model_inputs.call(self.model, source, {**others, **self._last_alone}))

    @cached_property
    def _last_alone(self) -> dict[str, int]:
        """Asks a language model for the logits of the last position alone, where the score reads no others.

        Those of all positions take longer than the rest of a small network.
        """
        asked = self.reads_last and LAST_ALONE in arguments(self.model) and LAST_ALONE not in self.shared
        return {LAST_ALONE: 1} if asked else {}

    def _labels_in_words(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the labels; their numbers where the classes have no names."""
        if self.labels is None or self.labels.ndim != 1:
            return ()
        numbers = self.labels.tolist()
        return tuple(classes[k] if 0 <= k < len(classes) else f"class {k}" for k in numbers)

    def _card(self) -> Card:
        about, players = self.about, self.players._card()
        return Card(
            f"{counted(self.games, 'game')} of {counted(self.n, 'player')}",
            {
                "network": about.network,
                "masked": self.layer
                or self.masked
                or "inputs " + " × ".join(map(str, self.source.shape[1:])),
                "score": f"{about.score} ({about.unit})",
                "labels": first_few(about.labels),
                "device": str(self.device),
                "players": players.title,
            },
            picture=players.picture,
        )

    @property
    def _tried_reading(self) -> Reading:
        """How the score reads the outputs, as the last trial has shown."""
        if self._reading is None:
            self._reading = Reading.of(self.score, self.trial, self._probabilities)
        return self._reading

    def read(self, returned: Any) -> Tensor:
        """The logits in the model's return value; only the last position where the score reads no other."""
        logits = logits_of(returned)
        return logits[:, -1:] if self.reads_last and logits.ndim == 3 else logits

    def _mask_output(self, module: nn.Module, args: Any, elements: Any) -> Tensor | None:
        """Forward hook of `layer`."""
        if self._current is None:
            raise ValueError(
                f"layer {self.layer!r} runs more than once in a forward; name one that runs once"
            )
        games, coalitions = self._current
        self._current = None
        return self.elements.masked(elements, games, coalitions)
