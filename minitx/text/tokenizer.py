"""What every tokenizer shares: a vocabulary, special tokens, cutting to length, and one way of being called.

How a word becomes tokens is the subject of `bpe`, `wordpiece` and `unigram`: they subclass `Tokenizer` and supply the
methods that raise NotImplementedError here. Ids are plain lists of integers, texts are plain strings.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np

from minitx.errors import InputError
from minitx.text.offsets import Encoding, Span, trim
from minitx.text.pairs import encode_pair
from minitx.text.spec import TokenizerSpec
from minitx.text.specials import CLS_NAMES, PAD_NAMES, SEP_NAMES, SpecialTokens
from minitx.text.tokenizer_json import read_tokenizer_json, write_tokenizer_json
from minitx.text.truncation import truncate, warn_of_cut

MEMO_ENTRIES, MEMO_KEY = 1 << 16, 128  # how many strings a Memo keeps, and the longest


class Memo(dict[str, list[int]]):
    """A dictionary that computes a missing value when it is first asked for, and keeps it.

    Text repeats itself: looking a word up instead of working it out is what lets Python keep up with compiled code. And
    as `__missing__` is called only on a miss, `map(memo.__getitem__, words)` runs no line of Python for the hits. A
    full memo is emptied, so that a process that runs for months does not grow for months.
    """

    def __init__(self, compute: Callable[[str], list[int]]) -> None:
        self.compute = compute

    def __missing__(self, key: str) -> list[int]:
        value = self.compute(key)
        if len(key) <= MEMO_KEY:
            if len(self) >= MEMO_ENTRIES:
                self.clear()
            self[key] = value
        return value


class Tokenizer:
    """A vocabulary and the calls that every tokenizer answers.

    A special token spelt out in a text is ordinary text, so that nobody can forge one. sentence-transformers takes it
    for the special token; so does a tokenizer whose `allow_special` is set to True, or a call that is given it.
    """

    model: ClassVar[str]
    allow_special = False

    def __init__(self, spec: TokenizerSpec) -> None:
        spec.check()
        self.spec = spec
        self._tokens = {id: token for token, id in spec.vocab.items()}
        self._specials = SpecialTokens(spec.special_tokens, spec.added_tokens)
        self._special_ids = {special.id for special in spec.special_tokens}
        self._prefix_ids = [spec.vocab[token] for token in spec.prefix]
        self._suffix_ids = [spec.vocab[token] for token in spec.suffix]

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a tokenizer.json; an InputError names what is damaged, not implemented, or of the other kind."""
        spec = read_tokenizer_json(path)
        if spec.model != cls.model:
            raise InputError(f"{path} holds a {spec.model} tokenizer; {cls.__name__} accepts {cls.model}")
        return cls(spec)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a tokenizer.json, which `load` and the `tokenizers` library read."""
        write_tokenizer_json(path, self.spec)

    # What a subclass supplies.

    def _encode_plain(self, text: str, start: int, allow_special: bool) -> list[int]:
        raise NotImplementedError

    def _encode_spans(self, text: str, start: int, allow_special: bool) -> list[Span]:
        raise NotImplementedError

    def _join(self, ids: list[int]) -> str:
        raise NotImplementedError

    def explain(self, text: str) -> list[str]:
        """Printable lines that show how `text` becomes tokens."""
        raise NotImplementedError

    # The vocabulary.

    @property
    def vocab_size(self) -> int:
        """Highest id + 1: the rows an embedding table needs."""
        return max(self._tokens) + 1

    @property
    def pad_id(self) -> int:
        """Id of the token that fills short rows; an InputError when there is none, as in GPT-2's files."""
        return self._role("padding", [self.spec.pad_token] if self.spec.pad_token else PAD_NAMES)

    @property
    def cls_id(self) -> int:
        """Id of the token that opens a text."""
        return self._role("opening", self.spec.prefix[:1] or CLS_NAMES)

    @property
    def sep_id(self) -> int:
        """Id of the token that closes a text."""
        return self._role("closing", self.spec.suffix[-1:] or SEP_NAMES)

    def _role(self, role: str, names: Sequence[str]) -> int:
        for name in names:
            if name in self.spec.vocab:
                return self.spec.vocab[name]
        raise InputError(f"this vocabulary has no {role} token; looked for {' and '.join(names)}")

    def token_to_id(self, token: str) -> int | None:
        """Id of a token as the vocabulary spells it, or None."""
        return self.spec.vocab.get(token)

    def id_to_token(self, id: int) -> str | None:
        """Spelling of an id, or None."""
        return self._tokens.get(id)

    def get_vocab(self) -> dict[str, int]:
        """A copy of token -> id."""
        return dict(self.spec.vocab)

    # Text to ids.

    def encode(self, text: str, *, add_special_tokens: bool = True, allow_special: bool | None = None) -> list[int]:
        """Ids of one text, between the opening and the closing token unless `add_special_tokens=False`.

        A special token spelt out in the text is ordinary text unless `allow_special`, here or of the tokenizer.

        Raises:
            InputError: `text` is not a str, or holds half of a surrogate pair, which UTF-8 cannot write.
        """
        ids, allow = list[int](), self.allow_special if allow_special is None else allow_special
        for segment, start, token in self._specials.segments(checked(text), allow):
            ids += self._encode_plain(segment, start, allow) if token is None else [token.id]
        return [*self._prefix_ids, *ids, *self._suffix_ids] if add_special_tokens else ids

    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        add_special_tokens: bool = True,
        max_length: int | None = None,
        truncation: str = "head",
    ) -> list[list[int]]:
        """Ids of many texts; `max_length` counts the added special tokens too, which always survive.

        One TruncationWarning says how many texts were cut; `truncate` describes the three ways of doing it.
        """
        most = sys.maxsize if max_length is None else max_length
        rows, cut = self.encode_and_cut(texts, most, truncation, add_special_tokens)
        warn_of_cut(cut, len(rows), most, truncation)
        return rows

    def encode_and_cut(
        self, texts: Iterable[str], max_length: int, truncation: str = "head", add_special_tokens: bool = True
    ) -> tuple[list[list[int]], int]:
        """As `encode_batch`, but returns the number of texts that were cut instead of warning."""
        check_list(texts)
        prefix, suffix = (self._prefix_ids, self._suffix_ids) if add_special_tokens else ([], [])
        room = max_length - len(prefix) - len(suffix)
        if room < 1:
            raise InputError(f"max_length {max_length} leaves no room for text beside the special tokens")
        truncate([], room, truncation)  # refuses an unknown way of cutting even if nothing is cut
        rows = [self.encode(text, add_special_tokens=False) for text in texts]
        long = [row for row, ids in enumerate(rows) if len(ids) > room]
        for row in long:
            rows[row] = truncate(rows[row], room, truncation)
        return [[*prefix, *ids, *suffix] for ids in rows], len(long)

    def encode_with_offsets(
        self, text: str, *, add_special_tokens: bool = True, allow_special: bool | None = None
    ) -> Encoding:
        """As `encode`, with the spelling of each token and the characters it came from."""
        spans, allow = list[Span](), self.allow_special if allow_special is None else allow_special
        for segment, start, token in self._specials.segments(checked(text), allow):
            whole = [self._trim(Span(token.id, start, start + len(segment)), segment)] if token else None
            spans += whole or self._encode_spans(segment, start, allow)
        if add_special_tokens:
            spans = [*(Span(i, 0, 0) for i in self._prefix_ids), *spans, *(Span(i, 0, 0) for i in self._suffix_ids)]
        return Encoding([s.id for s in spans], [self._tokens[s.id] for s in spans], [(s.start, s.end) for s in spans])

    def _trim(self, span: Span, spelling: str) -> Span:
        return trim(span, spelling, self.spec.keep_first_space) if self.spec.trim_offsets else span

    encode_pair = encode_pair

    # Ids to text.

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of some ids; special tokens are left out unless asked for."""
        if np.ndim((ids := list(ids))[:1]) > 1:
            raise InputError("decode takes the ids of one text: [tokenizer.decode(ids) for ids in batch] takes several")
        for id in set(ids) - self._tokens.keys():
            raise InputError(f"id {id} is not in the vocabulary; accepted are 0 to {self.vocab_size - 1}")
        return self._join([id for id in ids if not (skip_special_tokens and id in self._special_ids)])


def check_list(texts: Any) -> None:
    """`InputError` for what is no list of texts, though it can be gone through: one text, a table, a dict."""
    if isinstance(texts, str | bytes | Mapping | Set) or hasattr(texts, "columns") or not np.iterable(texts):
        what = f"{type(texts).__name__}, whose items are its columns' names" * hasattr(texts, "columns")
        raise InputError(f"expected a list of texts, as [text], or a column, not one {what or type(texts).__name__}")


def checked(text: str) -> str:
    """The text itself, or an InputError when it is something else, such as the NaN of an empty field."""
    if not isinstance(text, str):
        missing = ", as missing values are" * isinstance(text, float)
        raise InputError(f"a text must be a str, got {type(text).__name__}{missing}")
    return text
