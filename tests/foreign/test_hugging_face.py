"""Architectures of transformers and peft in small configurations, without weights."""

import importlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from foreign.harness import CLASSES, Case, Refused, assert_as_plain, double, integers, normal  # noqa: F401
from foreign.hugging_face import ASKED, has_torchvision, load
from torch import Tensor, nn

WORDS = 7
TOKENS = integers(WORDS, 4)
MASK = (torch.arange(4) < 2 + integers(3, 1, seed=3)).long()  # 2 to 4 tokens a text
PADDED = torch.where(MASK.bool(), TOKENS, -100)
SMALL: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 6,
}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def of_logits(output: Any, targets: Tensor) -> Tensor:
    """One class an example."""
    return F.cross_entropy(output.logits, targets)


def of_tokens(output: Any, targets: Tensor) -> Tensor:
    """One class a token, -100 for those that do not count."""
    return F.cross_entropy(output.logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def shifted(output: Any, targets: Tensor) -> Tensor:
    """Each token is foretold by those before it."""
    return F.cross_entropy(output.logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)


def built(model: str, config: str, **options: Any) -> nn.Module:
    library = load()
    made = getattr(library, config)(**options)
    return getattr(library, model)._from_config(made)


def bert(head: str = "MaskedLM", **options: Any) -> nn.Module:
    return built(f"BertFor{head}", "BertConfig", **SMALL, **QUIET, max_position_embeddings=4, **options)


def gpt2() -> nn.Module:
    silent = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    return built(
        "GPT2LMHeadModel", "GPT2Config", vocab_size=WORDS, n_embd=4, n_layer=1, n_head=2, n_positions=4, **silent
    )


def llama() -> nn.Module:
    return built("LlamaForCausalLM", "LlamaConfig", **SMALL, num_key_value_heads=1)


def t5() -> nn.Module:
    sizes = {"d_model": 4, "d_kv": 2, "d_ff": 6, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    return built("T5ForConditionalGeneration", "T5Config", vocab_size=WORDS, decoder_start_token_id=0, **sizes)


def vit() -> nn.Module:
    sizes = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    shape = {"image_size": 4, "patch_size": 2, "num_channels": 2, "num_labels": 3}
    return built("ViTForImageClassification", "ViTConfig", **sizes, **QUIET, **shape)


def mamba() -> nn.Module:
    sizes = {
        "hidden_size": 4,
        "state_size": 2,
        "num_hidden_layers": 1,
        "expand": 1,
        "conv_kernel": 2,
        "time_step_rank": 1,
    }
    return built("MambaForCausalLM", "MambaConfig", vocab_size=WORDS, use_mambapy=False, **sizes)


def wav2vec() -> nn.Module:
    convolutions = {"conv_dim": (4, 4), "conv_kernel": (3, 2), "conv_stride": (2, 2), "num_feat_extract_layers": 2}
    around = {"num_conv_pos_embeddings": 2, "num_conv_pos_embedding_groups": 2, "feat_proj_dropout": 0.0}
    silent = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "final_dropout": 0.0, "activation_dropout": 0.0}
    still = {"layerdrop": 0.0, "apply_spec_augment": False, "classifier_proj_size": 4, "num_labels": 3}
    options = {**SMALL, **convolutions, **around, **silent, **still}
    return built("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", **options)


class Clip(nn.Module):
    """Two towers and the exponential of one number; the logits of an example against given prototypes."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.image = nn.Linear(4, 5, bias=False), nn.Linear(6, 5, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(1.2))
        self.register_buffer("prototypes", torch.randn(3, 4))

    def forward(self, pixel_values: Tensor) -> Tensor:
        texts = F.normalize(self.text(self.prototypes), dim=-1)
        return self.logit_scale.exp() * F.normalize(self.image(pixel_values), dim=-1) @ texts.T


def contrastive() -> nn.Module:
    """CLIP itself, whose logits are of every text of the batch."""
    sizes = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6}
    text = sizes | {"vocab_size": WORDS, "max_position_embeddings": 4, "eos_token_id": 6, "bos_token_id": 5}
    vision = sizes | {"image_size": 4, "patch_size": 2, "num_channels": 2}
    return built("CLIPModel", "CLIPConfig", text_config=text, vision_config=vision, projection_dim=4)


def lora() -> nn.Module:
    peft = load("peft")
    config = peft.LoraConfig(r=2, target_modules=["query", "value"], lora_dropout=0.0, init_lora_weights=False)
    return peft.get_peft_model(bert("SequenceClassification", num_labels=3), config)


MASKED = {"input_ids": TOKENS, "attention_mask": MASK}
COUNTED = MASK.sum(1)
FIRST = ("gauss_newton", "fisher")
FORMULA = "no second derivative that can be trusted.*weight_norm; write it by its formula"
VMAP = "cannot be stacked"
SINGLE = 1e-5  # they compute their norms or states in float32, whatever the model is in
CASES = [
    Case("BERT", bert, {"input_ids": TOKENS}, TOKENS, of_tokens, alone="padding_idx"),
    Case("BERT with a mask and padded labels", bert, MASKED, PADDED, of_tokens, COUNTED, alone="padding_idx"),
    Case(
        "BERT that classifies",
        lambda: bert("SequenceClassification", num_labels=3),
        MASKED,
        CLASSES,
        of_logits,
        alone="padding_idx",
    ),
    Case("GPT-2", gpt2, {"input_ids": TOKENS}, TOKENS, shifted),
    Case("Llama", llama, MASKED, PADDED, of_tokens, COUNTED, alone=VMAP, tolerance=SINGLE),
    Case(
        "T5",
        t5,
        {**MASKED, "decoder_input_ids": TOKENS},
        PADDED,
        of_tokens,
        COUNTED,
        alone=VMAP,
        tolerance=SINGLE,
    ),
    Case("ViT", vit, {"pixel_values": normal(2, 4, 4)}, CLASSES, of_logits),
    Case("Mamba", mamba, {"input_ids": TOKENS}, TOKENS, shifted, alone=VMAP, tolerance=SINGLE),
    Case("Wav2Vec2", wav2vec, {"input_values": normal(24)}, CLASSES, of_logits, matrices=FIRST, without=FORMULA),
    Case("a scale of logits", Clip, normal(6), CLASSES),
    Case("LoRA", lora, MASKED, CLASSES, of_logits, alone=VMAP),
]
REFUSED = [
    Refused(
        "logits of the batch's every text",
        contrastive,
        {"input_ids": TOKENS, "pixel_values": normal(2, 4, 4)},
        "depends on the other examples|a row for each example",
        loss=lambda output, targets: F.cross_entropy(output.logits_per_image, torch.arange(len(targets))),
    ),
    Refused(
        "a loss that the model computes",
        lambda: bert("SequenceClassification", num_labels=3),
        {**MASKED, "labels": CLASSES},
        "uses output.loss of the model.*Compute it from such outputs",
        loss=lambda output, targets: output.loss,
    ),
    Refused("outputs by name for a loss by name", gpt2, {"input_ids": TOKENS}, "pass loss=lambda output, target"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hugging_face(case: Case, tmp_path: Path) -> None:
    assert_as_plain(case, tmp_path)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_hugging_face_that_is_refused(case: Refused) -> None:
    case.assert_refused()


def test_torchvision_is_there_or_absent_but_never_broken() -> None:
    load()
    if has_torchvision():
        import torchvision

        assert torchvision.ops is not None


def test_what_was_found_before_torchvision_was_taken_for_absent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a library that was imported before has imported transformers."""
    load()
    if has_torchvision():
        pytest.skip("torchvision works here")
    planted = ModuleType("torchvision")
    planted.__spec__ = ModuleSpec("torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision", planted)
    asked = importlib.import_module(ASKED)
    for question in (asked.is_vision_available, asked.is_torchvision_available):
        question.cache_clear()
    monkeypatch.setattr(asked, "is_vision_available", lambda: True)
    assert asked.is_torchvision_available()
    load()
    assert not asked.is_torchvision_available()
    assert not has_torchvision()
