"""Checkpoints of Hugging Face's Trainer: image classifiers with their image processor."""

import pytest
import torch

from tests.trainers.pictures import TRAINED
from tests.trainers.readings import right_in_python

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NAMED = {"id2label": dict(enumerate(TRAINED)), "label2id": {name: i for i, name in enumerate(TRAINED)}}


@pytest.fixture(scope="module")
def processor():
    """Unlike the published one in everything: size, interpolation, mean and std."""
    from transformers import ViTImageProcessor

    return ViTImageProcessor(
        size={"height": 20, "width": 20},
        resample=3,
        image_mean=[0.4, 0.5, 0.6],
        image_std=[0.3, 0.2, 0.25],
    )


@pytest.fixture(scope="module", params=["named", "unnamed"])
def trained(request, pictures, processor, tmp_path_factory):
    """The folder of a run, and the trainer's own right answers by epoch."""
    from PIL import Image
    from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

    def rows(split):
        return [
            {
                "pixel_values": processor(Image.open(file).convert("RGB"), return_tensors="pt")[
                    "pixel_values"
                ][0],
                "labels": number,
            }
            for file, number in pictures.files(split)
        ]

    folder = tmp_path_factory.mktemp(request.param)
    config = ViTConfig(
        image_size=20,
        patch_size=5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=0.1,
        **(NAMED if request.param == "named" else {"num_labels": 3}),
    )
    torch.manual_seed(0)
    trainer = Trainer(
        model=ViTForImageClassification(config),
        args=TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=12,
            learning_rate=2e-3,
            per_device_train_batch_size=15,
            save_strategy="epoch",
            eval_strategy="epoch",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows("train"),
        eval_dataset=rows("test"),
        processing_class=processor,
        compute_metrics=lambda given: {"right": int((given.predictions.argmax(-1) == given.label_ids).sum())},
    )
    trainer.train()
    right = [log["eval_right"] for log in trainer.state.log_history if "eval_right" in log]
    assert 20 < right[-1] < 45
    return folder, right


def test_the_ends_of_a_run(pictures, harsanyi, trained):
    """The processor beside the weights prepares the pictures; without names the first try says so."""
    folder, right = trained
    first, *_, last = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    options = ("--model", last, "--data", pictures.test)
    read = harsanyi.right if folder.name.startswith("named") else harsanyi.taught
    assert read("compare", *options, "--before", first, "--after", last) == {
        "before": right[0],
        "after": right[-1],
    }
    assert right_in_python(str(last), last, pictures.test, classes=TRAINED) == right[-1]
