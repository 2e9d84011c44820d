"""sentence-transformers' names for programs that use them: change the imports, and they run here.

    from minitx.sentence_transformers import SentenceTransformer, util
    from minitx.sentence_transformers.util import cos_sim, semantic_search

Vectors are NumPy arrays, and what is a tensor there is a `TensorLike`. Training is not here: `training.contrastive` is.
"""

from collections.abc import Mapping
from os import PathLike
from typing import Any, Self

import numpy as np

from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.search import SIMILARITIES, Score
from minitx.models.tensor_like import TensorLike, check_device
from minitx.sentence_transformers import util as util
from minitx.sentence_transformers.util import SimilarityFunction as SimilarityFunction

SETTINGS = ("default_prompt_name", "similarity_fn_name", "truncate_dim")
HARMLESS = {"backend": "torch", "trust_remote_code": True}  # as it is anyway: no code of a model is ever run


class SentenceTransformer(SentenceEncoder):
    """A pretrained `SentenceEncoder` under the name and with the arguments of sentence-transformers.

    Args:
        model_name_or_path, rng: as of `SentenceEncoder.from_pretrained`.
        device: "cpu", or nothing.
        prompts: name -> what is put in front of each text, beside those of the model's directory.
        options: `default_prompt_name`, `similarity_fn_name`, `truncate_dim`, in place of what the directory says; and
            what the class takes there, if it says what is the case anyway.

    `InputError` for an argument or a model that cannot be used.
    """

    def __init__(
        self,
        model_name_or_path: str | PathLike[str],
        *,
        device: Any = None,
        prompts: Mapping[str, str] | None = None,
        rng: np.random.Generator | None = None,
        **options: Any,
    ) -> None:
        check_device(device)
        vars(self).update(vars(SentenceEncoder.from_pretrained(model_name_or_path, rng=rng)))
        self.prompts = {"query": "", "document": ""} | self.prompts | dict(prompts or {})
        dim, most = options.get("truncate_dim"), self.config.width
        if dim is not None and not (type(dim) is int and 1 <= dim <= most):
            raise InputError(f"SentenceTransformer: truncate_dim is {dim!r:.60}; accepted are 1 to {most}")
        for name, value in options.items():
            if value and name in SETTINGS:
                setattr(self, name, value)
            elif value and value != HARMLESS.get(name):
                accepted = ", ".join(("prompts", *SETTINGS))
                raise InputError(f"SentenceTransformer: {name}={value!r:.60} cannot be had; accepted are {accepted}")
        self.prompt_of()  # what is wrong with a name is told now
        self._chosen(SIMILARITIES)

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str], *, rng: np.random.Generator | None = None) -> Self:
        """The same as `SentenceTransformer(path)`."""
        return cls(path, rng=rng)

    def to(self, device: Any = None) -> Self:
        """Itself, which is on the CPU; `InputError` for another device."""
        check_device(device)
        return self

    cpu, save = to, SentenceEncoder.save_pretrained

    def _chosen(self, known: dict[str, Score]) -> Score:
        score = super()._chosen(known)  # for `similarity` and `similarity_pairwise`
        return lambda a, b: np.asarray(score(a, b)).view(TensorLike)
