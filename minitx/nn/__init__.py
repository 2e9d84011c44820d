"""What is a layer? Parameters with names, and one call into `autograd.functional`."""

from minitx.nn.attention import MultiHeadAttention as MultiHeadAttention
from minitx.nn.layers import Dropout as Dropout, Embedding as Embedding, LayerNorm as LayerNorm, Linear as Linear
from minitx.nn.module import Module as Module, Parameter as Parameter
from minitx.nn.pooling import Normalize as Normalize, Pooling as Pooling
from minitx.nn.transformer import TransformerBlock as TransformerBlock, TransformerEncoder as TransformerEncoder
