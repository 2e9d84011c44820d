"""What trains, and how fast: parts of a model by name, and groups with rates; see `thawing` for when.

A part is named in words:

    everything     backbone (the encoder)     heads     a head's name, as in sentiment
    embeddings     block 3     top 2 (blocks)     upper (half of the blocks)     lower (the other half and embeddings)

or by the name of a module or parameter, `encoder.embedding`, or a pattern of such names, `*.blocks.*.norm1`. A part
that names nothing is an error: a freeze that freezes nothing, or a rate that goes nowhere, would else go unnoticed.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from minitx.errors import InputError, expect, suggestion
from minitx.models.multitask import MultiTaskModel


def layers(model: MultiTaskModel) -> dict[str, list[str]]:
    """Layer -> names of its parameters, from the bottom up: embeddings, block 0, block 1, ..., then each head.

    Whatever of the encoder is in no block counts as embeddings, but a last LayerNorm goes with the top block.
    """
    expect(model, MultiTaskModel, "a MultiTaskModel")
    top = len(model.encoder.transformer.blocks) - 1
    found: dict[str, list[str]] = {"embeddings": [], **{f"block {i}": [] for i in range(top + 1)}}
    for name, _ in model.named_parameters():
        block = re.match(r"encoder\.transformer\.blocks\.(\d+)\.", name)
        if name.startswith("heads."):
            found.setdefault(name.split(".")[1], []).append(name)
        elif block or name.startswith("encoder.transformer.norm."):
            found[f"block {block[1] if block else top}"].append(name)
        else:
            found["embeddings"].append(name)
    return found


def select(model: MultiTaskModel, parts: str | Iterable[str]) -> set[str]:
    """Names of all parameters that the parts select; `InputError` with a near miss for a part that matches nothing."""
    of = layers(model)
    encoder = [layer for layer in of if layer not in model.heads]  # embeddings, then the blocks from the bottom up
    half = len(encoder) // 2  # of the blocks, the middle one among the upper
    named = {
        "everything": list(of),
        "backbone": encoder,
        "heads": list(model.heads),
        "lower": encoder[:-half],
        "upper": encoder[-half:],
        **{f"top {n}": encoder[-n:] for n in range(1, len(encoder))},
        **{layer: [layer] for layer in of},
    }
    names = [name for layer in of.values() for name in layer]
    chosen: set[str] = set()
    for part in [parts] if isinstance(parts, str) else parts:
        hits = [n for layer in named.get(part, ()) for n in of[layer]]
        hits = hits or [n for n in names if fnmatchcase(f"{n}.", f"{part}.*")]
        if not hits:
            near = suggestion(part, [*named, *(n.rpartition(".")[0] for n in names)], f"choose from {', '.join(named)}")
            raise InputError(f"no parameter of this model is {part!r}: {near}")
        chosen.update(hits)
    return chosen


def freeze(model: MultiTaskModel, parts: str | Iterable[str]) -> None:
    """Stop the parts from learning; all else is left as it is."""
    parameters = dict(model.named_parameters())
    for name in select(model, parts):
        parameters[name].requires_grad, parameters[name].grad = False, None


def parameter_groups(
    model: MultiTaskModel,
    *,
    lr: float,
    head_lr: float,
    layer_decay: float = 1.0,
    rates: Mapping[str, float] | None = None,
    weight_decay: float = 0.0,
    decay_all: bool = False,
) -> list[dict[str, Any]]:
    """Groups for an optimizer, every parameter of the model in exactly one.

    The top block learns at `lr`, every layer below at `layer_decay` times the rate of the one above it, the embeddings
    slowest; heads at `head_lr`. Early layers hold what is general, and are moved least: Howard & Ruder 2018,
    section 3.2. `rates` (part -> rate) replaces any of these, later entries before earlier ones.

    Biases and LayerNorm's parameters do not decay unless `decay_all`: to pull a scale towards 0 is not to simplify.
    Each group has a `name` and the `layer` it belongs to.
    """
    of = layers(model)
    rate_of = {name: head_lr for head in model.heads for name in of[head]}
    for depth, layer in enumerate(reversed([layer for layer in of if layer not in model.heads])):
        rate_of.update(dict.fromkeys(of[layer], lr * layer_decay**depth))
    for part, rate in (rates or {}).items():
        rate_of.update(dict.fromkeys(select(model, part), rate))
    groups: dict[tuple[str, float, float], dict[str, Any]] = {}
    parameters = dict(model.named_parameters())
    for layer, names in of.items():
        for name in names:
            decays = decay_all or parameters[name].ndim > 1
            decay = weight_decay if decays else 0.0
            title = layer if decays else f"{layer}, no decay"
            group = {"name": title, "layer": layer, "lr": rate_of[name], "weight_decay": decay, "params": []}
            groups.setdefault((title, rate_of[name], decay), group)["params"].append(parameters[name])
    return list(groups.values())
