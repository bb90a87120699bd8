"""The explorer's data: what a reader asks of one input, packed small, at a stated precision."""

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from harsanyi.analyses.drawing.outlines import outlines
from harsanyi.interactions import BACKGROUND, Interactions, reconstruct
from harsanyi.reading import visible
from harsanyi.shown import number

# Of the report's 5 MB at most: the figures and the tables need the rest.
MAX_BYTES = 4_000_000
# A page unpacks as many in a moment, and Python packs them in seconds.
MAX_NUMBERS = 2**23
# Numbers are multiples of a power of two: at first of this share of the largest, at worst of the second one.
FINEST_BITS, COARSEST_BITS = 20, 12
# Interactions of each input and network in the table for readers without JavaScript.
FALLBACK_ROWS = 4
# Pictures of more pixels a side are made smaller; of more than the second, stored with loss.
MAX_SIDE, MAX_LOSSLESS_SIDE = 256, 64


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """A run, for a reader who asks about single inputs.

    Attributes:
        unit: of the score.
        exact: whether the interactions add up to the tables exactly.
        threshold: of salience.
        titles: what each input is called.
        interactions: by network, of the same games.
        groups: the networks that are offered together: each a name, and its networks by training step; a
            network alone has the step None.
        pair: the groups that stand side by side at first, `before` on the left; one name for a run without
            a change.
        names: what the groups are called on the page.
        images: uint8 `(games, height, width, 3)`; None for sentences.
        owner: the player of each pixel, `(height, width)` or `(games, height, width)`.
        sentences: the words of each game with their players.
    """

    unit: str
    exact: bool
    threshold: float
    titles: Sequence[str]
    interactions: Mapping[str, Interactions]
    groups: Mapping[str, Mapping[int | None, str]]
    pair: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    images: np.ndarray | None = None
    owner: np.ndarray | None = None
    sentences: Sequence[Sequence[tuple[str, int]]] = ()

    @property
    def games(self) -> int:
        """How many inputs there are."""
        return len(self.titles)

    @property
    def n(self) -> int:
        """Players of each input."""
        return next(iter(self.interactions.values())).n


@dataclass(frozen=True)
class Packed:
    """An explorer as it lies in the page.

    Attributes:
        games: how many inputs, the first ones.
        step: every number is a multiple of it, in the unit of the score.
        words: all but numbers, JSON, compressed, in base64.
        tables: integers in units of `step`, compressed, in base64: of each network and game the AND effects,
            the OR effects, and the score less what they add up to.
    """

    games: int
    step: float
    words: str
    tables: str

    @property
    def error(self) -> float:
        """By how much a number is off at most."""
        return self.step / 2


def packed(explorer: Explorer, budget: int = MAX_BYTES) -> Packed | None:
    """Pack an explorer into at most `budget` bytes.

    Effects and what they leave of the score are rounded to multiples of one step, so that a page adds whole
    numbers, without error. The step is as fine as the budget allows. Where the coarsest is not enough,
    the last inputs are left out.

    Args:
        explorer: the run.
        budget: bytes of the page.

    Returns:
        what lies in the page; None where not even one input fits.
    """
    numbers_of_a_game = len(explorer.interactions) * 3 << explorer.n
    games = min(explorer.games, MAX_NUMBERS // numbers_of_a_game)
    while games:
        words = _compressed(json.dumps(_visible(_words(explorer, games)), separators=(",", ":")).encode())
        room = max(0, budget - len(words))
        step, tables = _tables(explorer, games, room)
        if len(tables) <= room:
            return Packed(games, step, words, tables)
        games = min(games - 1, games * room // len(tables))
    return None


def _tables(explorer: Explorer, games: int, room: int) -> tuple[float, str]:
    """The step and the packed numbers of the first games; of the coarsest step where none fits."""
    networks = [network.select(slice(games)) for network in explorer.interactions.values()]
    effects = np.stack([np.stack([part.and_.numpy(), part.or_.numpy()], 1) for part in networks])
    v = np.stack([part.v.numpy() for part in networks])
    largest = max(float(np.abs(effects).max()), float(np.abs(v).max()), 1e-300)
    scale = 2.0 ** np.ceil(np.log2(largest))
    bits = FINEST_BITS
    while True:
        step = scale / 2.0**bits
        text = _compressed(_planes(_whole_numbers(effects, v, step)))
        if len(text) <= room or bits == COARSEST_BITS:
            return step, text
        # Each bit less saves about one bit a number, and base64 writes six in a byte.
        saved = effects.size * 1.5 / 6
        bits = max(COARSEST_BITS, bits - max(1, int((len(text) - room) / saved)))


def _whole_numbers(effects: np.ndarray, v: np.ndarray, step: float) -> np.ndarray:
    """AND effects, OR effects and rest of every table in units of `step`, `(networks, games, 3, 2**n)`."""
    import torch  # the page's other parts need none

    whole = torch.from_numpy(np.rint(effects / step))  # whole numbers below 2**53: their sums are exact
    sums = reconstruct(whole[:, :, 0].flatten(0, 1), whole[:, :, 1].flatten(0, 1)).view(v.shape)
    rest = np.rint(v / step) - sums.numpy()
    return np.concatenate([whole.numpy(), rest[:, :, None]], 2).astype(np.int64)


def _planes(numbers: np.ndarray) -> bytes:
    """Whole numbers as bytes: all lowest bytes first, then all second ones …; even for positive numbers.

    >>> list(_planes(np.array([0, -1, 1, 128])))
    [0, 1, 2, 0, 0, 0, 0, 1]
    """
    flat = numbers.ravel()
    unsigned = np.where(flat < 0, -2 * flat - 1, 2 * flat).astype("<u8")
    count = max(1, -(-int(unsigned.max()).bit_length() // 8))
    return unsigned.view(np.uint8).reshape(-1, 8)[:, :count].T.tobytes()


def _compressed(data: bytes) -> str:
    """Zlib's deflate in base64: no letter of it can end an element of the page."""
    return base64.b64encode(zlib.compress(data, 6)).decode()


def _words(explorer: Explorer, games: int) -> dict[str, Any]:
    """All but the numbers, as JSON values."""
    return {
        "n": explorer.n,
        "unit": explorer.unit,
        "exact": explorer.exact,
        "threshold": explorer.threshold,
        "titles": list(explorer.titles[:games]),
        "networks": list(explorer.interactions),
        "groups": [
            {
                "name": name,
                "title": explorer.names.get(name, name),
                "steps": [step for step in members if step is not None],
                "networks": [list(explorer.interactions).index(network) for network in members.values()],
            }
            for name, members in explorer.groups.items()
        ],
        "pair": list(explorer.pair),
        **(_pictures(explorer, games) if explorer.images is not None else _sentences(explorer, games)),
    }


def _visible(value: Any) -> Any:
    """JSON values, all their texts as a template writes them: controls are escapes.

    >>> _visible({"titles": ["a\\x1b[31m"], "n": 3})
    {'titles': ['a\\\\x1b[31m'], 'n': 3}
    """
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {name: _visible(one) for name, one in value.items()}
    return [_visible(one) for one in value] if isinstance(value, list | tuple) else value


def _sentences(explorer: Explorer, games: int) -> dict[str, Any]:
    return {"sentences": [[list(piece) for piece in words] for words in explorer.sentences[:games]]}


def _pictures(explorer: Explorer, games: int) -> dict[str, Any]:
    """Pictures as data URLs; the outlines of the players as paths over them, and where each player is."""
    assert explorer.images is not None
    assert explorer.owner is not None
    owners = explorer.owner if explorer.owner.ndim == 3 else explorer.owner[None]
    height, width = owners.shape[1:]
    return {
        "size": [width, height],
        "pictures": [_data_url(image) for image in explorer.images[:games]],
        "players": [[_region(owner == player) for player in range(explorer.n)] for owner in owners[:games]],
        "background": [_path(owner == BACKGROUND) for owner in owners[:games]],
    }


def _region(mask: np.ndarray) -> dict[str, Any]:
    """A player's outline, and its place in words."""
    if not mask.any():
        return {"path": "", "place": "nowhere"}
    (y, x), (height, width) = np.argwhere(mask).mean(0) + 0.5, mask.shape
    across = "left" if x < width / 3 else "right" if x > 2 * width / 3 else "centre"
    down = "top" if y < height / 3 else "bottom" if y > 2 * height / 3 else "middle"
    return {"path": _path(mask), "place": f"{down} {across}"}


def _path(mask: np.ndarray) -> str:
    """The outline of a region of pixels as the path of an SVG, whose unit is a pixel.

    >>> _path(np.array([[True, True]]))
    'M0 0h2v1h-2z'
    """
    parts = []
    for loop in outlines(mask):
        corners = np.roll((loop + 0.5).astype(int), -int(np.lexsort(loop.T)[0]), axis=0)
        steps = np.diff(corners, axis=0)
        moves = "".join(f"h{dx}" if dx else f"v{dy}" for dx, dy in steps.tolist())
        parts.append(f"M{corners[0][0]} {corners[0][1]}{moves}z")
    return "".join(parts)


def _data_url(image: np.ndarray) -> str:
    """A picture as a data URL: small ones without loss."""
    picture = Image.fromarray(image)
    small = max(picture.size) <= MAX_LOSSLESS_SIDE
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    kind, options = ("png", {"optimize": True}) if small else ("jpeg", {"quality": 82})
    picture.save(file, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def fallback_rows(explorer: Explorer) -> list[dict[str, str]]:
    """The strongest interactions of each input, for readers without JavaScript."""
    shown = dict.fromkeys(list(explorer.groups[name].values())[-1] for name in explorer.pair)
    rows = []
    tops = {network: explorer.interactions[network].top(FALLBACK_ROWS) for network in shown}
    for game, title in enumerate(explorer.titles):
        for network in shown:
            for item in tops[network][game]:
                rows.append(
                    {
                        "input": title,
                        "network": network,
                        "kind": item.kind.upper(),
                        "players": _players_in_words(explorer, game, item.players),
                        "effect": number(item.effect, "+.2f"),
                    }
                )
    return rows


def _players_in_words(explorer: Explorer, game: int, players: tuple[int, ...]) -> str:
    """The words of an interaction, or the numbers of its regions, from 1."""
    if not explorer.sentences:
        return ", ".join(str(player + 1) for player in players)
    words: dict[int, str] = {}
    for word, player in explorer.sentences[game]:
        words[player] = f"{words[player]} {word}" if player in words else word
    return ", ".join(words.get(player, str(player + 1)) for player in players)
