"""What will a training cost? Memory and time, before it begins."""

import time
from collections.abc import Mapping, Sequence

from minitx.app.settings import Experiment
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.system import free_memory, usable_cores

# Bytes of memory for each weight: itself and its best value; and gradient, Adam's two means and the average.
HELD, TRAINED = 8, 24
SAMPLE, PER_STEP = 256, 3.0  # texts to time, and how much longer a step takes than encoding


def check_memory(e: Experiment, encoder: SentenceEncoder | None, classes: Mapping[str, Sequence[str]]) -> None:
    """`InputError` if the weights alone need more memory to train than there is."""
    config = encoder.config if encoder else e.encoder_config(e.vocab_size, 0)
    of_encoder = e.num_weights(config)
    weights = e.num_weights(config, [len(names) for names in classes.values()])
    held = of_encoder if {"backbone", "everything"} & {*e.freeze} else 0
    if (needed := HELD * held + TRAINED * (weights - held)) > (free := free_memory()):
        found = f"these sizes make some {weights:,} weights, which take {needed / 1e6:,.0f} MB while they train"
        raise InputError(f"{found}; {free / 1e6:,.0f} MB are free: choose smaller sizes")


def cost(e: Experiment, model: MultiTaskModel, sequences: Sequence[Sequence[int]], unlabelled: int = 0) -> str:
    """A line: about how long a training on N sequences will take, by a sample, and how much memory the weights.

    A step takes about three times what the encoder needs to read the texts, which is measured on every core; one of
    `pretraining`, on so many `unlabelled` texts, is counted as such.
    """
    sample = sequences[:: max(1, len(sequences) // SAMPLE)]
    start = time.perf_counter()
    model.encoder.encode_ids(sample, show_progress_bar=False)
    each = (time.perf_counter() - start) / len(sample)
    cores = usable_cores()
    slower = cores / min(e.threads or cores, cores)
    texts = len(sequences) * e.epochs + (unlabelled * e.pretraining_epochs if e.pretraining else 0)
    minutes = PER_STEP * slower * each * texts / 60
    wait = f"{minutes:,.0f} minutes" if minutes >= 1.5 else f"{max(1, round(60 * minutes)):,} seconds"
    held = sum(p.size for p in model.parameters() if not p.requires_grad and not e.stages)
    memory = HELD * held + TRAINED * (model.num_parameters() - held)
    return f"it will take about {wait}, and {memory / 1e6:,.0f} MB for the weights alone"
