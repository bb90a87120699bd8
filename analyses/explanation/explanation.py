"""`explain`: a network and some inputs in, their strongest interactions out, drawn."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from harsanyi.analyses.comparison.on_image import draw_top_on_image
from harsanyi.analyses.comparison.on_sentence import draw_interactions_on_sentence
from harsanyi.analyses.explanation.understood import Understood, understood
from harsanyi.interactions import Interactions, MaskedModel, Method, Players, SparseAndOr, extract
from harsanyi.models import Network
from harsanyi.shown import Card, Shown

# Drawn of each input: with the picture itself, two rows of panels.
DRAWN = 7
# Dots per inch of the drawing on a notebook's page.
PAGE_DPI = 110


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """The interactions of a network on some inputs, and all that is needed to draw them.

    Attributes:
        interactions: of each input.
        game: the games that they are of; `game.changed(…)` changes one choice.
        seen: the inputs as they are drawn.
    """

    interactions: Interactions
    game: MaskedModel
    seen: Understood

    def plot(self, game: int = 0, top: int = DRAWN) -> Figure:
        """The strongest interactions of one input, on its picture or in its sentence.

        Args:
            game: number of the input.
            top: how many interactions.

        Returns:
            a figure; a notebook shows it, `savefig` writes it.
        """
        game = range(self.interactions.games)[game]
        strongest, about = self.interactions.select([game]).top(top)[0], self.interactions.about
        title = f"{about.title(game)} · {about.unit}"
        if self.seen.sentences:
            pieces = self.seen.sentences[game]
            words, players = [word for word, _ in pieces], [player for _, player in pieces]
            return draw_interactions_on_sentence(words, players, strongest, title=title)
        assert self.seen.pictures is not None
        owner = self.game.players.owner.cpu().numpy()
        return draw_top_on_image(
            self.seen.pictures[game], owner if owner.ndim == 2 else owner[game], strongest, title=title
        )

    def table(self, top: int | None = 10) -> pd.DataFrame:
        """The strongest interactions of each input, in words; see `Interactions.table`."""
        return self.interactions.table(top)

    def _card(self) -> Card:
        return replace(self.interactions._card(), bars=(), picture=lambda: _png(self.plot()))


def explain(
    model: Network | Callable[..., Any],
    inputs: Any,
    *,
    preprocess: Any = None,
    tokenizer: Any = None,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] = (),
    players: Players | None = None,
    method: Method | None = None,
    **options: Any,
) -> Explanation:
    """The interactions of a network on some inputs; what is not said is chosen.

    - players: the nine cells of a 3 × 3 grid on pictures; the words of sentences, or ten of them drawn at
      random where a sentence has more than twelve;
    - what a masked player becomes: the mean colour of its picture; the tokenizer's mask token, or zeros in
      place of the embeddings where it has none;
    - label: the class that the network predicts; score: its log-odds;
    - method: the sparsest split into AND and OR.

    Args:
        model: your module, which gives logits, or a network of `harsanyi.models.load`.
        inputs: a float tensor (batch, channels, height, width) as the model takes it; a PIL image or several,
            with `preprocess`; a sentence or several, with `tokenizer`; or `Inputs`.
        preprocess: of one PIL image, such as a transform of torchvision, or an image processor of
            transformers. A loaded network has its own.
        tokenizer: a fast tokenizer of transformers. A loaded network has its own.
        labels: output numbers to explain in place of the predicted ones, one for each input.
        classes: what the outputs are called.
        players: in place of the chosen ones.
        method: of extraction, such as `And()`; by default `SparseAndOr()`.
        options: for `MaskedModel`, in place of what is chosen (baseline, score, layer, precision, …).

    Returns:
        an `Explanation`: a notebook draws it, `.plot()` gives the figure, `.table()` the table,
        `.interactions` everything.

    Raises:
        ValueError: where no choice would be right: inputs of another kind, outputs that are no classes. The
            sentence says what to write instead.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 9 * 9, 4))
    >>> explained = explain(net, torch.rand(2, 3, 9, 9), method=SparseAndOr(tolerance=1e-2))
    >>> explained.interactions.games, explained.table(top=3).shape
    (2, (6, 11))
    """
    seen = understood(model, inputs, preprocess, tokenizer, players)
    module = model.model if isinstance(model, Network) else model
    names = tuple(map(str, classes)) or (model.classes if isinstance(model, Network) else ())
    about = replace(seen.about, classes=names, network=model.name if isinstance(model, Network) else "")
    chosen: dict[str, Any] = {"baseline": seen.baseline, "about": about} | options
    if labels is None and options.get("score", "log_odds") != "output":
        labels = _predicted(module, seen, options)
    game = MaskedModel(module, seen.tensors, seen.players, labels=labels, **chosen)
    return Explanation(extract(game, method or SparseAndOr()), game, seen)


def _predicted(module: Any, seen: Understood, options: dict[str, Any]) -> list[int]:
    """The class that a classifier answers for each input; a ValueError for outputs of other kinds."""
    shared = {name: options[name] for name in ("shared", "precision", "batch_size") if name in options}
    game = MaskedModel(module, seen.tensors, seen.players, score=_any_score, baseline=seen.baseline, **shared)
    with torch.inference_mode(), game.evaluating():
        outputs = torch.cat([game.unmasked(torch.tensor([i], device=game.device)) for i in range(game.games)])
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        if len(failed := outputs.isnan().any(1).nonzero()):
            raise ValueError(
                f"the model gives NaN for input {int(failed[0])}, and no class can be predicted from it: "
                "leave the input out, or give labels=[…], one for each input"
            )
        return outputs.argmax(1).tolist()
    if outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
        raise ValueError(
            "the model gives one number for each input, and no class can be predicted from it: explain the "
            'number itself with score="output", or, where it is the logit of class 1, say labels=[1, …]'
        )
    raise ValueError(
        f"expected a classifier's outputs (batch, classes), got shape {tuple(outputs.shape)}: for those of a "
        'language model use MaskedModel(…, score="next_token_log_odds", labels=token ids), for those at '
        "pixels MaskedModel(…, score=lambda outputs, labels: …), and extract(game, SparseAndOr())"
    )


def _any_score(outputs: Tensor, labels: Tensor | None) -> Tensor:
    """A number for each input, whatever the outputs: nothing is read from it."""
    return outputs.flatten(1).sum(1) if outputs.ndim > 1 else outputs


def _png(figure: Figure) -> bytes:
    """The bytes of a figure's PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PAGE_DPI)
    return file.getvalue()
