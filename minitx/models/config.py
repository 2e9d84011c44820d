"""EncoderConfig: the sizes and choices that define a SentenceEncoder."""

from dataclasses import dataclass

from minitx.autograd.functional import ACTIVATIONS, MAX_DROPOUT
from minitx.errors import InputError
from minitx.nn.rare import DenseConfig, new_pooling

POSITIONS = ("sinusoidal", "learned")


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and choices of a SentenceEncoder; `InputError` for a size that is too small or an unknown choice.

    The defaults suit a few thousand reviews and random weights.
    """

    vocab_size: int  # V
    pad_id: int = 0  # fills short rows of a batch; the mask hides it
    hidden_size: int = 128  # D
    num_layers: int = 2
    num_heads: int = 4  # H, a divisor of D
    intermediate_size: int = 512  # F, width inside the feed-forward networks
    max_length: int = 128  # tokens; longer texts are cut
    activation: str = "gelu"  # or "relu", "gelu_new", "silu"
    dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    norm_first: bool = False  # pre-norm blocks
    positions: str = "sinusoidal"  # or "learned"
    relative_buckets: int = 0  # rows of a relative position bias, which is added to the above; MPNet has 32
    pooling: str = "mean"  # or "cls", "max"; see `nn.rare` for others, and several
    normalize: bool = False  # scale sentence vectors to length 1
    # Empty unless a model was read that has such parts:
    dense: tuple[DenseConfig, ...] = ()  # layers behind the pooling
    rotary: tuple[tuple[float, int], ...] = ()  # of each block of a ModernBERT: theta, and tokens to each side or 0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_length"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise InputError(f"{name} must be at least 1, and a whole number, not {value!r:.60}")
        if self.relative_buckets % 4 or self.relative_buckets < 0:
            raise InputError(f"relative_buckets must be 0 or a multiple of 4, not {self.relative_buckets}")
        if not 0 <= self.pad_id < self.vocab_size:
            raise InputError(f"pad_id must be from 0 to vocab_size - 1 = {self.vocab_size - 1}, not {self.pad_id}")
        if not 0 <= self.dropout <= MAX_DROPOUT:
            raise InputError(f"dropout must be from 0 to {MAX_DROPOUT:.5f}, not {self.dropout}")
        if not 1e-30 <= self.layer_norm_eps < 1:  # float32 must hold it, or equal numbers would be 0 / 0
            raise InputError(f"layer_norm_eps must be in [1e-30, 1), not {self.layer_norm_eps}")
        if self.hidden_size % self.num_heads:
            raise InputError(f"num_heads must divide hidden_size: {self.hidden_size} / {self.num_heads} is not whole")
        if self.rotary and self.hidden_size // self.num_heads % 2:
            raise InputError("rotary positions turn pairs of columns: hidden_size / num_heads must be even")
        new_pooling(self.pooling)
        taken, given = [layer.in_features for layer in self.dense], [layer.out_features for layer in self.dense]
        if self.dense and taken != [self.pooled, *given[:-1]]:
            raise InputError(f"dense layers take {taken} numbers and give {given}, the pooling gives {self.pooled}")
        for name, known in {"positions": POSITIONS, "activation": tuple(ACTIVATIONS)}.items():
            if getattr(self, name) not in known:
                raise InputError(f"unknown {name} {getattr(self, name)!r:.60}: choose from {', '.join(known)}")

    @property
    def pooled(self) -> int:
        """Numbers in a vector as it leaves the pooling."""
        return self.hidden_size * len(self.pooling.split("+"))

    @property
    def width(self) -> int:
        """Numbers in a sentence vector."""
        return self.dense[-1].out_features if self.dense else self.pooled
