"""minitx: a transformer framework in pure NumPy, to read, to check and to use.

Letters, the same in every file:

    B  batch        T  tokens       D  model width      F  feed-forward width
    H  heads        K  = D // H     V  vocabulary       C  classes      N  rows

    dy comes into a backward function, dx dw db go out; (B, T, D) is a shape, in this order of axes.
    attention_mask is 1 or True for a real token, and means nothing else anywhere.

Reading order; in each line, a file rests on those before it:

    autograd/context.py  engine.py  rows.py  tensor.py  functional.py      what is a derivative?
    nn/module.py  layers.py  position.py  attention.py  transformer.py  pooling.py      what is a layer?
    text/words.py  tokenizer.py  bpe.py      how does a string become ids?
    data/reviews.py  split.py  batches.py      where do batches come from?
    models/config.py  encoder.py  multitask.py      what is the whole model?
    training/optim.py  groups.py  schedules.py  freezing.py  trainer.py      how does it learn?

That is the reading path, one batch's way from a CSV to new weights. Beside it, when the question comes up:

    learn/plain.py  gradcheck.py      what is the obvious form of an op, and is my own right?
    evaluation/evaluate.py  metrics.py  attribution.py      how good is it, and which tokens decided?
    models/pretrained.py  architectures.py      where do trained weights come from, and where can they go?
    app/prepare.py  experiment.py      what does `minitx train` do, from top to bottom?
"""

from minitx.autograd import functional as functional
from minitx.autograd.anomaly import detect_anomaly as detect_anomaly
from minitx.autograd.context import inference as inference, no_grad as no_grad
from minitx.autograd.profiler import profile as profile
from minitx.autograd.tensor import Tensor as Tensor, cat as cat, stack as stack, where as where
from minitx.errors import InputError as InputError
from minitx.learn.gradcheck import gradcheck as gradcheck
from minitx.learn.invariances import check_invariances as check_invariances
from minitx.models.config import EncoderConfig as EncoderConfig
from minitx.models.encoder import SentenceEncoder as SentenceEncoder
from minitx.models.multitask import MultiTaskModel as MultiTaskModel
from minitx.nn.module import Module as Module, Parameter as Parameter
from minitx.system import __version__ as __version__
from minitx.text.bpe import BPETokenizer as BPETokenizer
from minitx.training.freezing import parameter_groups as parameter_groups
from minitx.training.optim import SGD as SGD, Adam as Adam, AdamW as AdamW, clip_grad_norm_ as clip_grad_norm_
from minitx.training.thawing import Plan as Plan, Stage as Stage
from minitx.training.trainable import trainable_report as trainable_report
