"""11. Solutions: what trains in a linear probe, and batches that rehearse an old task."""

import numpy as np

from minitx.learn.piece import Mistake, Piece

# -- which parameters train ---------------------------------------------------------------------------------------


def linear_probe_parameters(names, heads):
    """Which parameters train when the heads in `heads` do, and nothing else? Two lists of str -> a list of str.

    `names` are all parameter names of a model, as `named_parameters()` gives them. Those of the head "sentiment" begin
    with "heads.sentiment." and those of the encoder with "encoder."; heads that are not in `heads` stay frozen. A name
    may contain another: "app" and "app-size" are two heads. Returns the names that train, in the order of `names`.
    """
    # Idea: a name belongs to a head if it begins with that head's prefix, the dot behind it included.
    # Line: str.startswith takes a tuple: name.startswith(tuple(f"heads.{head}." for head in heads)).
    prefixes = tuple(f"heads.{head}." for head in heads)
    return [name for name in names if name.startswith(prefixes)]


def _what_freezes(names, heads):
    return [name for name in names if name not in linear_probe_parameters(names, heads)]


def _every_head(names, heads):
    return [name for name in names if name.startswith("heads.")]


def _without_the_dot(names, heads):
    return [name for name in names if name.startswith(tuple(f"heads.{head}" for head in heads))]


def _contained(names, heads):
    return [name for name in names if any(head in name for head in heads)]


def _no_biases(names, heads):
    return [name for name in linear_probe_parameters(names, heads) if name.endswith("weight")]


def _models():
    encoder = [
        "encoder.embedding.weight",
        "encoder.mapper.weight",
        "encoder.transformer.blocks.0.attention.query.weight",
        "encoder.transformer.blocks.0.norm1.bias",
    ]
    linear = [f"heads.{head}.{kind}" for head in ("app", "app-size", "sentiment") for kind in ("weight", "bias")]
    hidden = [f"heads.topic.linear{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")]
    return {
        "three heads, two of which train": ([*encoder, *linear], ["sentiment", "app"]),
        "a head with a hidden layer": ([*linear, *hidden, *encoder], ["topic"]),
        "no head trains": ([*encoder, *linear], []),
    }


def _counts(yours, right, names, heads):
    more = sorted(set(yours) - set(right)) or sorted(set(right) - set(yours))
    return f"{len(yours)} of {len(names)} names, and {len(right)} train; look at {more[0]}"


# -- rehearsal ----------------------------------------------------------------------------------------------------


def rehearsal_batches(new, old, share, rng):
    """Add rows of an old task to the batches of a new one: a list of arrays, an array, a number -> a list of arrays.

    `new` holds the row numbers of each batch, (B,), where the last batch may be smaller; `old` (M,) the row numbers to
    rehearse from. To each batch, in order, its own k = round(share * B) rows of `old` are appended, drawn anew by
    rng.choice(old, size=k, replace=False), so that no row stands in a batch twice. `new` itself is not changed.
    """
    # Idea: every batch draws for itself, and how many depends on its own size.
    # Line: np.concatenate([batch, rng.choice(old, size=round(share * len(batch)), replace=False)]).
    return [np.concatenate([batch, rng.choice(old, size=round(share * len(batch)), replace=False)]) for batch in new]


def _with_replacement(new, old, share, rng):
    return [np.concatenate([batch, rng.choice(old, size=round(share * len(batch)))]) for batch in new]


def _drawn_once(new, old, share, rng):
    rows = rng.choice(old, size=round(share * len(new[0])), replace=False)
    return [np.concatenate([batch, rows]) for batch in new]


def _in_place_of_new_rows(new, old, share, rng):
    batches = rehearsal_batches(new, old, share, rng)
    return [
        np.concatenate([mixed[: 2 * len(batch) - len(mixed)], mixed[len(batch) :]])
        for mixed, batch in zip(batches, new, strict=True)
    ]


def _share_of_the_whole(new, old, share, rng):
    sizes = [round(share / (1 - share) * len(batch)) if share < 1 else len(batch) for batch in new]
    return [
        np.concatenate([batch, rng.choice(old, size=size, replace=False)])
        for batch, size in zip(new, sizes, strict=True)
    ]


def _rounded_down(new, old, share, rng):
    return [np.concatenate([batch, rng.choice(old, size=int(share * len(batch)), replace=False)]) for batch in new]


def _rows():
    def batches(*sizes):
        return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])

    old = np.arange(100, 110)
    return {
        "batches of 8, 8 and 6": (batches(8, 8, 6), old, 0.3, np.random.default_rng(0)),
        "as many old rows as new": (batches(4, 4), old[:4], 1.0, np.random.default_rng(1)),
        "a share of 0": (batches(5, 2), old, 0, np.random.default_rng(2)),
    }


def _sizes(yours, right, *_):
    return f"your batches hold {[len(b) for b in yours]} rows, the right ones {[len(b) for b in right]}"


EXERCISES = [
    Piece(
        right=linear_probe_parameters,
        examples=_models,
        mistakes=(
            Mistake("these are the ones that freeze", _what_freezes, _counts),
            Mistake("every head trains, whether it is asked for or not", _every_head, _counts),
            Mistake("the prefix of a head has no dot at its end", _without_the_dot, _counts),
            Mistake("a head's name is looked for anywhere in a parameter's name", _contained, _counts),
            Mistake("the biases of the heads are left out", _no_biases, _counts),
        ),
    ),
    Piece(
        right=rehearsal_batches,
        examples=_rows,
        mistakes=(
            Mistake("drawn with replacement", _with_replacement, "one row may then stand in a batch twice"),
            Mistake("drawn once, for all batches", _drawn_once, "every batch rehearses the same rows"),
            Mistake("old rows take the place of new ones", _in_place_of_new_rows, _sizes),
            Mistake("the share is meant of the mixed batch, not of the new rows", _share_of_the_whole, _sizes),
            Mistake("rounded down", _rounded_down, _sizes),
        ),
    ),
]
