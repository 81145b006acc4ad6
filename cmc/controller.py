"""The packaged tiny model: load and save."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from cmc.card import model_card
from cmc.errors import ModelError
from cmc.models import (
    MODEL_FILES,
    best_device,
    find_folder,
    load_causal_lm,
    on_device,
    read_vocabulary,
)
from cmc.settings import Shape
from cmc.vocab import Vocabulary

FORMAT_VERSION = 1
MANIFEST = "controller.json"
NETWORKS = ("delta", "prior")


def default_settings() -> dict[str, Any]:
    """Return what is assumed of a causal language model that says nothing of its training."""
    return {
        "format_version": FORMAT_VERSION, "objective": "sft", "prompt_format": "open-instruct",
        "template": None, "template_fingerprint": None, "data": {}, "settings": {},
        "recommended_strength": 1.0, "strength_range": [-1.0, 2.0], "metrics": {}, "parent": None,
        "eos_ids": [],
    }  # fmt: skip


@dataclass
class Controller:
    """A tiny model that is trained once and carried everywhere.

    Attributes:
        name: what a person calls it.
        delta: the network whose logits are the shift.
        prior: the network the delta was initialised from; None stands for a uniform prior.
        vocabulary: the vocabulary both are written in.
        settings: what `controller.json` holds.
    """

    name: str
    delta: PreTrainedModel
    prior: PreTrainedModel | None
    vocabulary: Vocabulary
    settings: dict[str, Any] = field(default_factory=default_settings)

    @property
    def prompt_format(self) -> str:
        """The format its prompts were trained in."""
        return self.settings["prompt_format"]

    @property
    def context(self) -> int:
        """Tokens it can read at once."""
        config = self.delta.config
        window = getattr(config, "sliding_window", None)
        if window and getattr(config, "use_sliding_window", True) is not False:
            return min(config.max_position_embeddings, window)
        return config.max_position_embeddings

    @property
    def parameters(self) -> int:
        """Number of weights of the delta."""
        return sum(each.numel() for each in self.delta.parameters())

    @classmethod
    def from_pretrained(cls, name: str | Path) -> "Controller":
        """Load a controller, or a plain causal language model as one, from folder, lab or Hub.

        Raises:
            ModelError: it cannot be found or read.
        """
        folder, _ = find_folder(
            str(name), lab_kind="controllers", allow_patterns=["*/" + each for each in MODEL_FILES]
            + MODEL_FILES,
        )  # fmt: skip
        if not (folder / MANIFEST).is_file():
            vocabulary = read_vocabulary(folder, str(name))
            delta = load_causal_lm(folder, str(name), torch.float32)
            return cls(str(name), delta, None, vocabulary)._checked()
        settings = read_settings(folder)
        vocabulary = read_vocabulary(folder, str(name))
        delta, prior = (
            load_causal_lm(folder / part, f"{name}/{part}", torch.float32)
            if part == "delta" or (folder / part).is_dir()
            else None
            for part in NETWORKS
        )
        return cls(str(name), delta, prior, vocabulary, settings)._checked()

    def _checked(self) -> "Controller":
        if getattr(self.delta.config, "max_position_embeddings", None) is None:
            raise ModelError(
                f"{self.name} does not say how many tokens it reads",
                hint="Choose a Llama or GPT style controller.",
            )
        for network in filter(None, (self.delta, self.prior)):
            rows = network.get_output_embeddings().weight.shape[0]
            if rows < self.vocabulary.size:
                raise ModelError(
                    f"the tokenizer of {self.name} has {self.vocabulary.size:,} tokens, its "
                    f"network only {rows:,} rows",
                    hint="Load the controller with the tokenizer it was trained with.",
                )
            on_device(network, self.name, best_device())
        return self

    def save_pretrained(self, folder: str | Path) -> None:
        """Write delta, prior, tokenizer, `controller.json` and a model card."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        remove_controller(folder)
        self.delta.save_pretrained(folder / "delta")
        if self.prior is not None:
            self.prior.save_pretrained(folder / "prior")
        self.vocabulary.tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(self.card(), "utf-8")
        # A template's generation settings may name more ends of text than its tokenizer does.
        self.settings["eos_ids"] = list(self.vocabulary.eos_ids)
        manifest = json.dumps(self.settings, indent=2, ensure_ascii=False)
        (folder / MANIFEST).write_text(manifest + "\n", "utf-8")

    def card(self) -> str:
        """Return the model card: what it was trained on, beside what, and how it measured."""
        return model_card(self.name, self.settings, self.parameters)


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what `controller.json` of a folder says, and defaults for what it does not say.

    Raises:
        ModelError: the file is damaged or of another format version.
    """
    manifest = folder / MANIFEST
    return default_settings() | (_read_manifest(manifest) if manifest.is_file() else {})


def random_controller(
    vocabulary: Vocabulary, *, hidden_size: int, layers: int, seed: int, context: int = 1024
) -> Controller:
    """Return a small untrained Llama in this vocabulary; its prior is uniform."""
    heads = max(1, hidden_size // 32)
    hidden = heads * (hidden_size // heads // 2 * 2)
    shape = Shape(hidden, layers, heads, heads, hidden_size * 8 // 3, context)
    return Controller("random", random_network(vocabulary, shape, seed), None, vocabulary)


def random_network(vocabulary: Vocabulary, shape: Shape, seed: int) -> PreTrainedModel:
    """Return an untrained Llama of these sizes in this vocabulary, drawn from its seed."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary.size, hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.context, tie_word_embeddings=True,
        bos_token_id=vocabulary.bos_id, eos_token_id=vocabulary.eos_id,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval().to(best_device())


def remove_controller(folder: Path) -> None:
    """Remove what an earlier save left in a folder, and no other file."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for part in NETWORKS:
        if (folder / part).is_dir():
            shutil.rmtree(folder / part)


def copy_controller(source: Path, folder: Path) -> None:
    """Put a controller in the place of an earlier one; other files there stay."""
    if folder.resolve() != source.resolve():
        remove_controller(folder)
        shutil.copytree(source, folder, dirs_exist_ok=True)


def load_controller(name: str) -> Controller:
    """Load a controller by lab name, folder or Hub id; see `Controller.from_pretrained`."""
    return Controller.from_pretrained(name)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} is damaged ({error})", hint="Take another copy of the controller."
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path} is not of format version {FORMAT_VERSION}",
            hint="Update this program or train the controller again.",
        )
    return manifest
