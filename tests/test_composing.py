"""BPE of composed text: the ids, offsets and texts of `tokenizers` with NFC, for a file like ModernBERT's."""

import doctest
import random
import unicodedata
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from minitx.errors import InputError
from minitx.text import composing
from minitx.text.bpe import BPETokenizer
from minitx.text.composing import ComposingBPETokenizer
from minitx.text.load import load_tokenizer

WORDS = ["the", "cat", "é", "naïve", "café", "한국어", "각", "привет", "ệ", "â"]
SPECIALS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
ADDED = [AddedToken(" " * n, normalized=n % 3 > 0) for n in range(2, 12)]
ADDED += [AddedToken("|||IP_ADDRESS|||", normalized=False), AddedToken("o\u0302", normalized=False)]
ADDED += [AddedToken(token, normalized=True) for token in ("e\u0301言", "ét ", " Å")]
ADDED += [AddedToken("xé", normalized=True, rstrip=True)]
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
MARKS = [chr(code) for code in CODES if unicodedata.combining(chr(code))]
JOINED = [chr(code) for code in CODES if unicodedata.decomposition(chr(code))[:1] not in ("", "<")]
JAMO = ["\u1100", "\u1161", "\u11a7", "\u11a8", "\uac00", "각"]
LATER = ["\U00011938", "\U00011935\U00011930", "\U00016d67", "\U00011382\U000113c9"]  # joined since Unicode 13 or 16
ODD = [*JAMO, *LATER, *(token.content for token in ADDED), "e\u0301言", "e\u0301t ", " A\u030a", "xe\u0301 ", "ô"]
ODD += [
    *SPECIALS,
    " [MASK]",
    "<|padding|>",
    "e",
    "a",
    "A",
    "x",
    "\u0301",
    "\u0302",
    "\u0323",
    "\u0327",
    " ",
    "\n",
    "🙂",
]
CHOICES = [{}, {"trim": True}, {"prefix_space": True}, {"prefix_space": True, "trim": True}]


def texts(n: int, seed: int) -> list[str]:
    """Words, marks in any order, Hangul in parts, letters joined and apart, tokens spelt out, all of Unicode."""
    rng = random.Random(seed)
    kinds = [ODD, ODD, MARKS, JOINED, [*map(unicodedata.normalize, ["NFD"] * len(JOINED), JOINED)], WORDS]

    def some() -> str:
        return rng.choice(rng.choice(kinds)) if rng.random() < 0.95 else chr(rng.choice(CODES))

    return ["".join(some() for _ in range(rng.randrange(14))) for _ in range(n)]


def their_file(path: Path, prefix_space: bool = False, trim: bool = False) -> Tokenizer:
    """Written to `path`: the components of ModernBERT's tokenizer.json, or of GPT-NeoX's, which trims offsets."""
    theirs = Tokenizer(models.BPE())
    theirs.normalizer, theirs.decoder = normalizers.NFC(), decoders.ByteLevel()
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    theirs.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    theirs.add_tokens(ADDED)
    theirs.add_special_tokens([AddedToken(token, lstrip=token == "[MASK]") for token in SPECIALS])
    theirs.add_special_tokens([AddedToken("<|padding|>", normalized=True, lstrip=True)])
    ends = [(token, theirs.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    around = {"single": "[CLS] $A [SEP]", "pair": "[CLS] $A [SEP] $B [SEP]"}
    template = processors.TemplateProcessing(**around, special_tokens=ends)
    byte_level = processors.ByteLevel(trim_offsets=True, add_prefix_space=prefix_space)
    theirs.post_processor = processors.Sequence([byte_level, template]) if trim else template
    theirs.save(str(path))
    return theirs


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_ids_offsets_and_texts_are_those_of_tokenizers_before_and_after_saving(tmp_path, choice):
    theirs = their_file(tmp_path / "theirs.json", **choice)
    ours = load_tokenizer(tmp_path / "theirs.json")
    ours.save(tmp_path / "ours.json")
    again = Tokenizer.from_file(str(tmp_path / "ours.json"))
    assert ComposingBPETokenizer.load(tmp_path / "ours.json").spec == ours.spec
    composed = theirs.token_to_id("e\u0301言")  # `tokenizers` decodes it to what composing makes of it
    for text in texts(1000, seed=1):
        expected, found = theirs.encode(text), ours.encode_with_offsets(text, allow_special=True)
        assert ours.encode(text, allow_special=True) == found.ids == expected.ids == again.encode(text).ids, ascii(text)
        assert found.offsets == expected.offsets == again.encode(text).offsets, ascii(text)
        ids = [id for id in found.ids if id != composed]
        assert ours.decode(ids) == theirs.decode(ids), ascii(text)


def test_each_letter_that_unicode_joins_gets_the_ids_and_offsets_of_tokenizers(tmp_path):
    theirs = their_file(tmp_path / "t.json")
    ours = load_tokenizer(tmp_path / "t.json")
    apart = [unicodedata.normalize("NFD", letter) for letter in JOINED]
    for text in (f"x{one}\u0323{two}y" for one, two in zip(JOINED, apart, strict=True)):
        expected, found = theirs.encode(text), ours.encode_with_offsets(text)
        assert (found.ids, found.offsets) == (expected.ids, expected.offsets), ascii(text)


def test_a_special_token_spelt_out_in_parts_is_still_text(tmp_path):
    their_file(tmp_path / "t.json")
    ours = load_tokenizer(tmp_path / "t.json")
    assert not {ours.token_to_id(token) for token in SPECIALS} & {
        *ours.encode("[SEP]e\u0301", add_special_tokens=False)
    }
    with pytest.raises(InputError, match="half of a surrogate pair"):
        ours.encode("e\u0301\ud800")


def test_explain_shows_the_composed_word(tmp_path):
    their_file(tmp_path / "t.json")
    ours = load_tokenizer(tmp_path / "t.json")
    assert ours.explain("cafe\u0301") == ours.explain("café")


def test_a_tokenizer_that_does_not_compose_refuses_a_file_that_says_so(tmp_path):
    their_file(tmp_path / "t.json")
    with pytest.raises(InputError, match="holds a NFC BPE tokenizer; BPETokenizer accepts BPE"):
        BPETokenizer.load(tmp_path / "t.json")


def test_the_examples_are_true():
    assert doctest.testmod(composing).failed == 0


# What plain byte-level BPE shares.


def plain(path: Path, **processor: bool) -> Tokenizer:
    vocab = {symbol: id for id, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    theirs = Tokenizer(models.BPE(vocab, []))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder, theirs.post_processor = decoders.ByteLevel(), processors.ByteLevel(**processor)
    theirs.add_tokens([AddedToken("  "), AddedToken("xy", rstrip=True)])
    theirs.save(str(path))
    return theirs


@pytest.mark.parametrize("text", ["xy  a", "xy   a", "xy    "])
def test_blanks_that_one_token_took_and_are_a_token_too_have_the_offsets_of_tokenizers(tmp_path, text):
    theirs = plain(tmp_path / "t.json", trim_offsets=False)
    assert load_tokenizer(tmp_path / "t.json").encode_with_offsets(text).offsets == theirs.encode(text).offsets


@pytest.mark.parametrize("text", ["  a", "    a", " a"])
def test_only_a_single_first_space_stays_in_trimmed_offsets(tmp_path, text):
    theirs = plain(tmp_path / "t.json", trim_offsets=True, add_prefix_space=True)
    assert load_tokenizer(tmp_path / "t.json").encode_with_offsets(text).offsets == theirs.encode(text).offsets
