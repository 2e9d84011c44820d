"""What every tokenizer shares: a vocabulary, special tokens, cutting to length, and one way of being called.

How a word becomes tokens is the subject of `bpe` and `wordpiece`; they subclass `Tokenizer` and supply the methods that
raise NotImplementedError here. Everything is plain lists and strings.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import ClassVar, NamedTuple, Self

from minitx.errors import InputError
from minitx.text.tokenizer_json import SpecialToken, TokenizerSpec, read_tokenizer_json, write_tokenizer_json

# A vocabulary does not say which of its tokens pads or opens a text; only the spelling tells. RoBERTa's spelling is
# tried first because MPNet's vocabulary holds BERT's names as well, unused.
PAD_NAMES, CLS_NAMES, SEP_NAMES = ("<pad>", "[PAD]"), ("<s>", "[CLS]"), ("</s>", "[SEP]")

MEMO_ENTRIES, MEMO_KEY = 1 << 16, 128  # how many strings a Memo keeps, and the longest


class TruncationWarning(UserWarning):
    """Some texts, `count` of them, were longer than `max_length` and lost a part."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


class Span(NamedTuple):
    """One token and the characters `text[start:end]` it came from."""

    id: int
    start: int
    end: int


@dataclass(frozen=True)
class Encoding:
    """Ids, how each is spelt, and the (start, end) of its characters in the text; an added special has (0, 0)."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]


class Memo(dict[str, list[int]]):
    """A dictionary that computes what it lacks, once.

    Text repeats itself: to look a word up instead of working it out is what lets Python keep up with compiled code.
    And as `__missing__` is called only on a miss, `map(memo.__getitem__, words)` runs no line of Python for the hits.
    A full memo starts afresh, so that a process that lives for months does not grow for months.
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


def truncate(ids: list[int], max_length: int, truncation: str = "head") -> list[int]:
    """Keep `max_length` ids: the first ("head"), the last ("tail"), or half from each end ("head_tail").

    >>> truncate([1, 2, 3, 4, 5, 6], 3, "head"), truncate([1, 2, 3, 4, 5, 6], 3, "tail")
    ([1, 2, 3], [4, 5, 6])
    >>> truncate([1, 2, 3, 4, 5, 6], 3, "head_tail")
    [1, 2, 6]
    """
    heads = {"head": max_length, "tail": 0, "head_tail": max_length - max_length // 2}
    if truncation not in heads:
        raise InputError(f"truncation is {truncation!r}; accepted are {', '.join(heads)}")
    if len(ids) <= max_length:
        return ids
    head = heads[truncation]
    return ids[:head] + ids[len(ids) - (max_length - head) :]


class Tokenizer:
    """A vocabulary and the calls that every tokenizer answers."""

    model: ClassVar[str]

    def __init__(self, spec: TokenizerSpec) -> None:
        self.spec = spec
        self._ids = spec.vocab
        self._tokens = {id: token for token, id in spec.vocab.items()}
        self._specials = {special.content: special for special in spec.special_tokens}
        self._special_ids = {special.id for special in spec.special_tokens}
        self._prefix_ids = [spec.vocab[token] for token in spec.prefix]
        self._suffix_ids = [spec.vocab[token] for token in spec.suffix]
        longest_first = sorted(self._specials, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

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

    def _encode_plain(self, text: str) -> list[int]:
        raise NotImplementedError

    def _encode_spans(self, text: str, start: int) -> list[Span]:
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
            if name in self._ids:
                return self._ids[name]
        raise InputError(f"this vocabulary has no {role} token; looked for {' and '.join(names)}")

    def token_to_id(self, token: str) -> int | None:
        """Id of a token as the vocabulary spells it, or None."""
        return self._ids.get(token)

    def id_to_token(self, id: int) -> str | None:
        """Spelling of an id, or None."""
        return self._tokens.get(id)

    def get_vocab(self) -> dict[str, int]:
        """A copy of token -> id."""
        return dict(self._ids)

    # Text to ids.

    def encode(self, text: str, *, add_special_tokens: bool = True, allow_special: bool = False) -> list[int]:
        """Ids of one text, between the opening and the closing token unless `add_special_tokens=False`.

        A special token spelt out in the text is ordinary text, so that no user can forge one, unless `allow_special`.

        Raises:
            InputError: `text` is not a str, or holds half of a surrogate pair, which UTF-8 cannot write.
        """
        ids = self._encode_allowing(text) if allow_special else self._encode_plain(checked(text))
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

        What is cut is counted and said in one TruncationWarning; see `truncate` for the three ways.
        """
        if isinstance(texts, str):
            raise InputError("encode_batch got one str; it takes a list of texts")
        prefix, suffix = (self._prefix_ids, self._suffix_ids) if add_special_tokens else ([], [])
        rows = [self._encode_plain(checked(text)) for text in texts]
        if max_length is not None:
            room = max_length - len(prefix) - len(suffix)
            if room < 1:
                raise InputError(f"max_length {max_length} leaves no room for text beside the special tokens")
            too_long = sum(len(ids) > room for ids in rows)
            rows = [truncate(ids, room, truncation) for ids in rows]
            if too_long:
                kept = truncation.replace("_", " and ")
                message = (
                    f"{too_long} of {len(rows)} texts longer than {max_length} tokens were cut, keeping the {kept}"
                )
                warnings.warn(TruncationWarning(message, too_long), stacklevel=2)
        return [[*prefix, *ids, *suffix] for ids in rows]

    def encode_with_offsets(
        self, text: str, *, add_special_tokens: bool = True, allow_special: bool = False
    ) -> Encoding:
        """As `encode`, with the spelling of each token and the characters it came from."""
        spans: list[Span] = []
        for piece, start, special in self._pieces(checked(text)) if allow_special else [(text, 0, None)]:
            if special is not None:
                spans.append(self._trim(Span(special.id, start, start + len(piece)), piece))
            else:
                spans += [self._trim(span, self._tokens[span.id]) for span in self._encode_spans(piece, start)]
        if add_special_tokens:
            spans = [*(Span(i, 0, 0) for i in self._prefix_ids), *spans, *(Span(i, 0, 0) for i in self._suffix_ids)]
        return Encoding([s.id for s in spans], [self._tokens[s.id] for s in spans], [(s.start, s.end) for s in spans])

    def _trim(self, span: Span, spelling: str) -> Span:
        """Leave out the spaces at both ends of a token, spelt as U+0120 in byte-level BPE, as `tokenizers` does."""
        if not self.spec.trim_offsets:
            return span
        spaced, (id, start, end) = spelling.replace("\u0120", " "), span
        before, after = len(spaced) - len(spaced.lstrip()), len(spaced) - len(spaced.rstrip())
        if before and start == 0 and self.spec.keep_first_space:
            before -= 1
        start = min(start + before, end)
        return Span(id, start, max(end - after, start) if end >= after else end)

    def _encode_allowing(self, text: str) -> list[int]:
        ids: list[int] = []
        for piece, _, special in self._pieces(checked(text)):
            ids += [special.id] if special is not None else self._encode_plain(piece)
        return ids

    def _pieces(self, text: str) -> Iterator[tuple[str, int, SpecialToken | None]]:
        """Cut a text at the special tokens in it: (piece, where it starts, the special token or None)."""
        done = 0
        for match in self._special_pattern.finditer(text):
            special, (start, end) = self._specials[match.group()], match.span()
            if special.lstrip:
                start = max(done, len(text[:start].rstrip()))
            if special.rstrip:
                end = len(text) - len(text[end:].lstrip())
            if start > done:
                yield text[done:start], done, None
            yield text[start:end], start, special
            done = end
        if done < len(text):
            yield text[done:], done, None

    # Ids to text.

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of some ids; special tokens are left out unless asked for."""
        ids = list(ids)
        for id in ids:
            if id not in self._tokens:
                raise InputError(f"id {id} is not in the vocabulary; accepted are 0 to {self.vocab_size - 1}")
        return self._join([id for id in ids if not (skip_special_tokens and id in self._special_ids)])


def checked(text: str) -> str:
    """The text itself, or an InputError when it is something else, such as the NaN of an empty field."""
    if not isinstance(text, str):
        raise InputError(f"a text must be a str, got {type(text).__name__}")
    return text
