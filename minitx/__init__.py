"""minitx: a transformer framework in pure NumPy, to read, to check and to use.

Letters, the same in every file:

    B  batch        T  tokens       D  model width      F  feed-forward width
    H  heads        K  = D // H     V  vocabulary       C  classes      N  rows

    dy comes into a backward function, dx dw db go out; (B, T, D) is a shape, in this order of axes.
    attention_mask is 1 or True for a real token, and means nothing else anywhere.

Reading order, each file resting on those before it:

    autograd/engine.py  tensor.py  functional.py      what is a derivative?
    nn/module.py  layers.py  position.py  attention.py  transformer.py  pooling.py      what is a layer?
    text/tokenizer.py  bpe.py       how does a string become ids?
    data/reviews.py  split.py  batches.py     where do batches come from?
    models/encoder.py  multitask.py       the whole path
    models/architectures.py  pretrained.py      where do trained weights come from, and where can they go?
    training/optim.py  trainer.py  freezing.py  ../settings.py  ../experiment.py      how does it learn?
    training/metrics.py  baseline.py  ../study.py  mistakes.py      how good is it, and where is it not?
"""

from minitx.autograd.anomaly import detect_anomaly
from minitx.autograd.context import inference, no_grad
from minitx.autograd.profiler import profile
from minitx.autograd.tensor import Tensor, cat, stack, where
from minitx.errors import InputError
from minitx.learn.gradcheck import gradcheck
from minitx.learn.invariances import check_invariances
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.nn.module import Module, Parameter
from minitx.text.bpe import BPETokenizer
from minitx.training.freezing import parameter_groups
from minitx.training.optim import SGD, Adam, AdamW, clip_grad_norm_
from minitx.training.plan import Plan, Stage
from minitx.training.trainable import trainable_report

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "BPETokenizer",
    "EncoderConfig",
    "InputError",
    "Module",
    "MultiTaskModel",
    "Parameter",
    "Plan",
    "SentenceEncoder",
    "Stage",
    "Tensor",
    "cat",
    "check_invariances",
    "clip_grad_norm_",
    "detect_anomaly",
    "gradcheck",
    "inference",
    "no_grad",
    "parameter_groups",
    "profile",
    "stack",
    "trainable_report",
    "where",
]
