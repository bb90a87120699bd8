"""Adapters of peft on a text classifier, trained by Hugging Face's Trainer."""

import pytest

from tests.trainers.test_hugging_face_text import named, tiny_bert, trainer_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
peft = pytest.importorskip("peft")


def test_lora_on_a_classifier(sentences, harsanyi, tmp_path):
    """--model names the network that the adapter changes; its head is in the adapter."""
    base = tmp_path / "base"
    tiny_bert(**named()).save_pretrained(base)
    sentences.tokenizer().save_pretrained(base)
    from transformers import AutoModelForSequenceClassification

    adapted = peft.get_peft_model(
        AutoModelForSequenceClassification.from_pretrained(base),
        peft.LoraConfig(task_type="SEQ_CLS", r=16, lora_alpha=32, target_modules=["query", "value", "dense"]),
    )
    trainer = trainer_of(adapted, sentences, tmp_path / "run", learning_rate=1e-2)
    trainer.train()
    right = [log["eval_right"] for log in trainer.state.log_history if "eval_right" in log]
    assert 20 < right[-1] < 45
    first, *_, last = sorted((tmp_path / "run").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    options = ("--model", base, "--data", sentences.test, "--players", "words:2")
    assert harsanyi.right("compare", *options, "--before", first, "--after", last) == {
        "before": right[0],
        "after": right[-1],
    }
    assert harsanyi.right("compute", "--model", last, *options[2:]) == {"network": right[-1]}
