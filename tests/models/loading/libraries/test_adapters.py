"""Adapters of peft, merged into the networks that they change."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from harsanyi.models import load, series
from harsanyi.models.loading.libraries.adapters import read_adapter
from tests.text_networks import save_bert, tokenizer

# peft asks transformers for an attribute that has a new name, and remarks on layers of its own choice.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
SENTENCES = ["the cat sat", "good dog"]
BERT = ["query", "value"]


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A classifier of five classes, spread far enough that an adapter shows."""
    save_bert(tmp_path / "base", tokenizer(tmp_path / "words"), classes=tuple("abcde"), spread=0.2)
    return tmp_path / "base"


def trained(network, config, folder: Path):
    """A model of peft with an adapter that is not zero, and the adapter in a folder."""
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(network, config)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model.eval()


def answers(model, network) -> torch.Tensor:
    with torch.no_grad():
        return model(**network.preprocess(SENTENCES)).logits


def classifier(base: Path, classes: int):
    return transformers.BertForSequenceClassification.from_pretrained(
        base, num_labels=classes, ignore_mismatched_sizes=True
    )


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LoraConfig", {"r": 4}),
        ("LoraConfig", {"r": 4, "use_dora": True, "use_rslora": True}),
        ("LoraConfig", {"r": 4, "bias": "lora_only"}),
        ("LoraConfig", {"r": 2, "init_lora_weights": "pissa"}),
        ("IA3Config", {"feedforward_modules": []}),
        ("LoHaConfig", {"r": 4}),
        ("OFTConfig", {"oft_block_size": 4}),
    ],
)
def test_logits_are_those_of_peft(tmp_path: Path, base: Path, kind: str, options: dict, classes: int):
    peft = pytest.importorskip("peft")
    config = getattr(peft, kind)(task_type="SEQ_CLS", target_modules=BERT, **options)
    model = trained(classifier(base, classes), config, tmp_path / "adapter")
    names = [
        (str(tmp_path / "adapter"), None),
        (f"transformers:{base}", tmp_path / "adapter"),
        (str(base), tmp_path / "adapter"),
    ]
    for name, checkpoint in names:
        network = load(name, checkpoint)
        # Merged and unmerged weights are the same up to the order of float32 sums.
        torch.testing.assert_close(
            network.logits(network.preprocess(SENTENCES)), answers(model, network), rtol=1e-4, atol=1e-5
        )
        assert (len(network.classes), network.head, network.has_head) == (classes, "classifier", True)
        assert all(weight.requires_grad for weight in network.model.parameters())
        assert not any("peft" in type(module).__module__ for module in network.model.modules())


def test_an_adapter_from_pickle_is_read_without_running_it(tmp_path: Path, base: Path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=BERT, r=4)
    model = trained(classifier(base, 3), config, tmp_path / "adapter")
    state = read_adapter(tmp_path / "adapter").state
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    torch.save(state, tmp_path / "adapter" / "adapter_model.bin")
    network = load(f"transformers:{base}", tmp_path / "adapter")
    torch.testing.assert_close(
        network.logits(network.preprocess(SENTENCES)), answers(model, network), rtol=1e-4, atol=1e-5
    )

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"base_model.model.x": Evil()}, tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(ValueError):
        load(f"transformers:{base}", tmp_path / "adapter")
    assert not (tmp_path / "touched").exists()


def test_a_causal_model(tmp_path: Path):
    peft = pytest.importorskip("peft")
    config = transformers.GPT2Config(
        vocab_size=16, n_positions=32, n_embd=8, n_layer=1, n_head=2, initializer_range=0.3
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    tokenizer(tmp_path / "words").save_pretrained(tmp_path / "gpt")
    lora = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["c_attn"], r=2, fan_in_fan_out=True)
    model = trained(
        transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "gpt"), lora, tmp_path / "adapter"
    )
    for name, checkpoint in (
        (str(tmp_path / "adapter"), None),
        (f"causal:{tmp_path / 'gpt'}", tmp_path / "adapter"),
    ):
        network = load(name, checkpoint)
        expected = answers(model, network)[:, -1]
        torch.testing.assert_close(
            network.logits(network.preprocess(SENTENCES)), expected, rtol=1e-4, atol=1e-5
        )
        assert len(network.classes) == 16


def test_a_series_of_adapters(tmp_path: Path, base: Path):
    """checkpoint-100 and checkpoint-200 of a training, as the Trainer leaves them."""
    peft = pytest.importorskip("peft")
    models = {}
    for step in (200, 100):
        folder = tmp_path / "run" / f"checkpoint-{step}"
        config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=BERT, r=step // 50)
        models[step] = trained(classifier(base, 3), config, folder)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "epoch": step / 100}))
    checkpoints = series(tmp_path / "run")
    assert [checkpoint.step for checkpoint in checkpoints] == [100, 200]
    for checkpoint in checkpoints:
        network = load(f"transformers:{base}", checkpoint.path)
        logits = network.logits(network.preprocess(SENTENCES))
        torch.testing.assert_close(logits, answers(models[checkpoint.step], network), rtol=1e-4, atol=1e-5)
        assert read_adapter(checkpoint.path).epoch == checkpoint.step // 100


def test_an_own_network_must_load_its_weights(tmp_path: Path):
    peft = pytest.importorskip("peft")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.top = nn.Linear(48, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.top(self.body(x.flatten(1)).relu())

    net = Net()
    torch.save(net.state_dict(), tmp_path / "base.pt")
    lines = [
        "import torch",
        "from pathlib import Path",
        "from torch import nn",
        "preprocess = {'size': (4, 4)}",
        "class Net(nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        "        self.body, self.top = nn.Linear(48, 8), nn.Linear(8, 3)",
        "    def forward(self, x): return self.top(self.body(x.flatten(1)).relu())",
        "def random(): return Net()",
        "def build():",
        "    net = Net()",
        "    net.load_state_dict(torch.load(Path(__file__).parent / 'base.pt', weights_only=True))",
        "    return net",
    ]
    (tmp_path / "net.py").write_text("\n".join(lines))
    model = trained(
        net, peft.LoraConfig(target_modules=["body"], modules_to_save=["top"], r=2), tmp_path / "adapter"
    )
    network = load(f"{tmp_path / 'net.py'}:build", tmp_path / "adapter")
    x = torch.linspace(-1, 1, 96).view(2, 3, 4, 4)
    torch.testing.assert_close(network.logits(x), model(x).detach(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="builds random weights, and an adapter changes those"):
        load(f"{tmp_path / 'net.py'}:random", tmp_path / "adapter")


def test_adapters_that_do_not_fit(tmp_path: Path, base: Path):
    peft = pytest.importorskip("peft")
    lora = peft.LoraConfig(task_type="SEQ_CLS", target_modules=BERT, r=4)
    trained(classifier(base, 3), lora, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())

    def changed(**entries) -> Path:
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | entries))
        return tmp_path / "adapter"

    with pytest.raises(
        FileNotFoundError, match=r"adapter of some/model, which is no local folder: name that network"
    ):
        load(str(changed(base_model_name_or_path="some/model")))
    with pytest.raises(ValueError, match="cannot be merged into .*; give the network that it was trained on"):
        load(str(base), changed(target_modules=["query", "value", "key"]))
    with pytest.raises(ValueError, match="of the kind NEW"):
        load(str(base), changed(peft_type="NEW"))
    with pytest.raises(ValueError, match="for Megatron"):
        load(str(base), changed(megatron_config={"a": 1}, megatron_core="os"))
    prompt = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)
    trained(classifier(base, 3), prompt, tmp_path / "prompt")
    with pytest.raises(ValueError, match="puts trained tokens before a text and changes no weights"):
        load(str(base), tmp_path / "prompt")


def test_weights_that_nobody_saved(tmp_path: Path, base: Path):
    """A base that was trained to fill in words has no pooler, and peft saves none."""
    peft = pytest.importorskip("peft")
    masked = transformers.BertForMaskedLM.from_pretrained(base)
    masked.save_pretrained(base)
    trained(
        classifier(base, 3),
        peft.LoraConfig(task_type="SEQ_CLS", target_modules=BERT, r=4),
        tmp_path / "adapter",
    )
    with pytest.raises(
        ValueError, match=r"holds bert.pooler.dense.weight, .*name them in modules_to_save|modules_to_save"
    ):
        load(str(base), tmp_path / "adapter")


def test_without_peft_the_error_says_how_to_install_it(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "task_type": "SEQ_CLS"}')
    torch.save({"base_model.model.bert.x.lora_A.weight": torch.zeros(2, 2)}, folder / "adapter_model.bin")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "peft" else find(name, *more)
    )
    with pytest.raises(ImportError, match=r"pip install 'harsanyi\[peft\]'"):
        load(str(base), folder)
