"""Which frozen models a delta is trained beside."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from cmc.errors import TrainingError, VocabMismatch
from cmc.models import load_language_model
from cmc.settings import TrainSettings

if TYPE_CHECKING:
    from cmc.controller import Controller
    from cmc.models import LanguageModel


def in_turn(template: "LanguageModel", settings: TrainSettings) -> list["LanguageModel"]:
    """Return the template and the one it takes turns with, where there is one.

    Raises:
        ModelError: the second template cannot be loaded.
        VocabMismatch: the two have different vocabularies.
    """
    if not settings.second_template:
        return [template]
    both = [template, load_language_model(settings.second_template, device=template.device)]
    check_turns(both)
    return both


def check_turns(templates: Sequence["LanguageModel"]) -> None:
    """Refuse templates that cannot take turns.

    Raises:
        VocabMismatch: two of them have different vocabularies.
    """
    first = templates[0]
    for other in templates[1:]:
        if other.vocabulary.fingerprint != first.vocabulary.fingerprint:
            raise VocabMismatch(
                f"the templates {first.name} and {other.name} have different vocabularies "
                f"({first.vocabulary.size:,} and {other.vocabulary.size:,} tokens)",
                hint="Choose two with the same tokenizer.",
            )


def frozen_beside(controller: "Controller", template: "LanguageModel") -> "LanguageModel":
    """Return the prior, as the frozen model beside which `reverse` learns.

    It learns what is to be forgotten: a template that already knows it would give no gradient.

    Raises:
        TrainingError: there is no prior to learn beside.
    """
    if controller.prior is None:
        raise TrainingError(
            "reverse learns beside a prior, and a random controller has none",
            hint="Start from lab:prior or another small language model (init).",
        )
    # A copy: whoever trains the delta may have given the same network as delta and prior.
    prior = copy.deepcopy(controller.prior).to(device=template.device, dtype=torch.float32)
    return replace(template, name="prior", model=prior)


def check_vocabularies(controller: "Controller", template: "LanguageModel") -> None:
    """Refuse a controller and a template that write in different vocabularies.

    Raises:
        VocabMismatch: they do; the message says how large both are.
    """
    own, its = controller.vocabulary, template.vocabulary
    if own.fingerprint != its.fingerprint:
        raise VocabMismatch(
            f"controller {controller.name} and template {template.name} have different "
            f"vocabularies ({own.size:,} and {its.size:,} tokens)",
            hint="Train beside a template with the controller's tokenizer, or start from a new "
            "random controller.",
        )
