"""Byte-level BPE: by hand, against a naive twin, and id for id against the `tokenizers` library."""

import copy
import csv
import doctest
import importlib
import json
import pickle
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from minitx.errors import InputError
from minitx.text import tokenizer as tokenizer_module
from minitx.text.bpe import DEFAULT_SPECIALS, BPETokenizer, learn_merges
from minitx.text.tokenizer_json import SpecialToken, TokenizerSpec
from minitx.text.truncation import TruncationWarning, truncate
from minitx.text.unicode_versions import _AFTER_UNICODE_16
from minitx.text.words import WORD, chunks, count_words

SPACES = " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2028\u3000"
CORPORA = {
    "reviews": ["I loved it!", "don't  waste your time...", "It's 10/10, we'll watch it again", "meh", "", " "] * 3,
    "code": [Path(__file__).read_text(encoding="utf-8")],
    "chinese": ["這個應用程式很好用，但是常常當機。", "很好很好很好 用用用", "字幕太小了！！"],
    "emoji": ["😀😀😀 ok 👍🏽👍🏽", "👩‍👩‍👧‍👦 family", "❤️❤️ love ❤️", "🇮🇳🇮🇳"],
    "repeated": ["aaaaaaa", "aaa aa a aaaa", "abababab ababab", "bbaabbaa", "hahahahaha", "     ", "!!!!!!!???"],
}


def reference(texts: list[str], vocab_size: int, min_frequency: int = 0) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(DEFAULT_SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def naive_merges(word_counts: dict[str, int], first_new: int, max_merges: int) -> list[str]:
    """The definition, word for word: count every pair anew, join the best everywhere, repeat."""
    words = [(list(word), count) for word, count in word_counts.items()]
    merges = []
    while len(merges) < max_merges:
        pairs: Counter[str] = Counter()
        for tokens, count in words:
            for left, right in pairwise(tokens):
                pairs[left + right] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        new = chr(first_new + len(merges))
        merges.append(best)
        for tokens, _ in words:
            i = 0
            while i < len(tokens) - 1:
                if tokens[i] + tokens[i + 1] == best:
                    tokens[i : i + 2] = [new]
                i += 1
    return merges


def random_texts(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    kinds = ("ab  ", SPACES + "aZ1.!'", "the quick 'll re's 19 é漢🙂\u0301" + SPACES, None)

    def text() -> str:
        kind, length = rng.choice(kinds), rng.randrange(40)
        codes = (rng.randrange(0x110000) if kind is None else ord(rng.choice(kind)) for _ in range(length))
        return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)

    return [text() for _ in range(n)]


@pytest.fixture(scope="module")
def trained() -> BPETokenizer:
    return BPETokenizer.train([text for texts in CORPORA.values() for text in texts], vocab_size=900)


@pytest.fixture(scope="module")
def rust(trained, tmp_path_factory) -> Tokenizer:
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    trained.save(path)
    return Tokenizer.from_file(str(path))


@pytest.mark.parametrize("name", ["bpe", "explain", "offsets", "specials", "truncation", "wordpiece", "words"])
def test_the_examples_in_the_docstrings(name):
    result = doctest.testmod(importlib.import_module(f"minitx.text.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


# Learning.


def test_a_pair_that_overlaps_itself_is_counted_at_each_place_but_joined_from_the_left():
    # "aaa" holds the pair "aa" twice, "bcbc" holds "bc" twice: the tie goes to the smaller. Joined, "aaa" is Xa.
    assert learn_merges({"aaa": 1, "bcbc": 1}, first_new=ord("x"), max_merges=3) == ["aa", "bc", "xa"]


@pytest.mark.parametrize("seed", range(25))
def test_merges_equal_those_of_the_naive_loop(seed):
    rng = random.Random(seed)
    letters = "ab" if seed % 2 else "abcd"
    counts = {"".join(rng.choices(letters, k=rng.randint(1, 14))): rng.randint(1, 4) for _ in range(rng.randint(1, 25))}
    assert learn_merges(counts, 256, 60) == naive_merges(counts, 256, 60)


@pytest.mark.parametrize("vocab_size", [260, 261, 300, 700, 3000])
@pytest.mark.parametrize("min_frequency", [0, 2, 5])
@pytest.mark.parametrize("corpus", CORPORA)
def test_merges_and_ids_equal_those_of_tokenizers(corpus, min_frequency, vocab_size):
    texts = CORPORA[corpus]
    ours = BPETokenizer.train(texts, vocab_size=vocab_size, min_frequency=min_frequency)
    theirs = reference(texts, vocab_size, min_frequency)
    assert ours.get_vocab() == theirs.get_vocab()
    assert [list(merge) for merge in ours.spec.merges] == json.loads(theirs.to_str())["model"]["merges"]
    for text in texts:  # `tokenizers` always finds special tokens in text, and this very file spells some
        assert ours.encode(text, add_special_tokens=False, allow_special=True) == theirs.encode(text).ids


def test_a_small_text_runs_out_of_pairs_and_says_so():
    assert BPETokenizer.train(["aab"], vocab_size=8000).vocab_size == 4 + 256 + 2
    assert BPETokenizer.train([], vocab_size=8000).vocab_size == 4 + 256
    assert BPETokenizer.train(["aab ab"], vocab_size=8000, min_frequency=2).vocab_size == 4 + 256 + 1


def test_learning_does_not_depend_on_the_hash_seed():
    code = (
        "from minitx.text.bpe import BPETokenizer as B; from minitx.text import words;"
        "print(B.train([open(words.__file__, encoding='utf-8').read()], vocab_size=500).spec.merges)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(runs[0]) > 1000
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 259}, "vocab_size is 259; 256 bytes and 4 special tokens need 260"),
        ({"vocab_size": 2_000_000}, "is the most"),
        ({"vocab_size": 300.5}, "vocab_size is 300.5; "),
        ({"special_tokens": ["[A]", "[A]"]}, "'[A]' is given twice"),
        ({"special_tokens": ["PAD"]}, "'PAD' could be learnt as a word"),
        ({"special_tokens": [""]}, "'' could be learnt"),
        ({"texts": "one text"}, "expected a list of texts"),
        ({"texts": ["good", float("nan")]}, "a text must be a str, got float"),
    ],
)
def test_what_cannot_be_trained_is_refused(arguments, message):
    with pytest.raises(InputError) as error:
        BPETokenizer.train(**{"texts": ["some text"], **arguments})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# The split into words.


@settings(max_examples=300)
@given(st.text(alphabet=SPACES + "   ab1'.!é漢"))
def test_cutting_at_spaces_first_changes_no_word(text):
    first, *others = chunks(text)
    words = WORD.findall(first) + [word for chunk in others for word in WORD.findall(" " + chunk)]
    assert words == WORD.findall(text)
    assert count_words([text]) == Counter(words)


def test_the_split_equals_that_of_tokenizers_also_for_letters_newer_than_its_unicode():
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    codes = {
        int(end, 16) + step for item in _AFTER_UNICODE_16.split() for end in item.split("-") for step in (-1, 0, 1)
    }
    rng = random.Random(0)
    codes |= {rng.randrange(0x110000) for _ in range(3000)} | set(range(0x250))
    for code in sorted(codes - set(range(0xD800, 0xE000))):
        text = f"a{chr(code)}1{chr(code)}.{chr(code)} {chr(code)}"
        theirs = [text[slice(*offsets)] for _, offsets in split.pre_tokenize_str(text)]
        assert WORD.findall(text) == theirs, hex(code)


# Encoding.


def test_ids_offsets_and_decoded_text_equal_those_of_tokenizers_on_random_strings(trained, rust):
    texts = random_texts(3000, seed=5)
    for text, ids in zip(texts, trained.encode_batch(texts), strict=True):
        theirs, ours = rust.encode(text), trained.encode_with_offsets(text)
        assert ids == ours.ids == theirs.ids, ascii(text)
        assert ours.tokens == theirs.tokens
        assert ours.offsets == theirs.offsets, ascii(text)
        assert trained.decode(ids) == rust.decode(ids) == text


def test_ids_equal_those_of_tokenizers_on_real_reviews(real_reviews):
    with real_reviews.open(encoding="utf-8", newline="") as file:
        texts = [row["content"] for row in csv.DictReader(file)]
    ours, theirs = BPETokenizer.train(texts, vocab_size=3000), reference(texts, 3000)
    assert ours.get_vocab() == theirs.get_vocab()
    ids = ours.encode_batch(texts, add_special_tokens=False)
    assert ids == [encoding.ids for encoding in theirs.encode_batch(texts)]
    assert [ours.decode(row) for row in ids] == texts


@given(st.text())
def test_decoding_gives_back_every_text(trained, text):
    assert trained.decode(trained.encode(text)) == text


@pytest.mark.parametrize("text", ["", "\0", "\ufeff", "\u0301", "a\u0300\u0301", "\r\n \t", " x  ", "\U0010ffff", "🙂"])
def test_odd_texts_survive(trained, text):
    assert trained.decode(trained.encode(text)) == text


def test_decoding_any_ids_at_all_gives_what_tokenizers_gives(trained, rust):
    rng = random.Random(1)
    for _ in range(300):
        ids = [rng.randrange(trained.vocab_size) for _ in range(rng.randrange(12))]
        assert trained.decode(ids) == rust.decode(ids)
        assert trained.decode(ids, skip_special_tokens=False) == rust.decode(ids, skip_special_tokens=False)


def test_a_special_token_spelt_in_the_text_is_text_unless_allowed(trained, rust):
    text = "a [SEP] b[CLS]"
    plain = trained.encode(text)
    assert plain.count(trained.sep_id) == 1
    assert trained.decode(plain) == text
    allowed = trained.encode(text, allow_special=True)
    assert allowed == rust.encode(text).ids
    assert allowed.count(trained.sep_id) == 2
    assert trained.encode_with_offsets(text, allow_special=True).offsets == rust.encode(text).offsets


@pytest.mark.parametrize("lstrip", [False, True])
@pytest.mark.parametrize("rstrip", [False, True])
def test_special_tokens_take_white_space_as_those_of_tokenizers(trained, lstrip, rstrip):
    vocab = {**trained.get_vocab(), "[A]": 900, "[A][B]": 901}
    specials = [SpecialToken("[A]", 900, lstrip, rstrip), SpecialToken("[A][B]", 901)]
    ours = BPETokenizer(TokenizerSpec("BPE", vocab, specials, merges=trained.spec.merges))
    theirs = Tokenizer(models.BPE(trained.get_vocab(), trained.spec.merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.add_special_tokens([AddedToken("[A]", lstrip=lstrip, rstrip=rstrip), AddedToken("[A][B]")])
    for text in ("a [A] b", "[A]  [A]\n[A]", "  [A]", "[A]  ", "x[A][B] [A]y", " [B][A][A] [B]", "[A] [A][B] [A]"):
        encoding, expected = ours.encode_with_offsets(text, allow_special=True), theirs.encode(text)
        assert encoding.ids == expected.ids, text
        assert encoding.offsets == expected.offsets, text


def test_special_tokens_frame_a_text(trained):
    ids = trained.encode("hello")
    assert (ids[0], ids[-1]) == (trained.cls_id, trained.sep_id) == (1, 2)
    assert ids[1:-1] == trained.encode("hello", add_special_tokens=False)
    assert trained.decode(ids, skip_special_tokens=False) == "[CLS]hello[SEP]"
    assert trained.pad_id == 0


def test_a_vocabulary_without_specials():
    tokenizer = BPETokenizer.train(["abc abc"], vocab_size=300, special_tokens=())
    assert tokenizer.decode(tokenizer.encode("abc!")) == "abc!"
    assert tokenizer.encode("") == []
    with pytest.raises(InputError, match="no padding token"):
        _ = tokenizer.pad_id


@pytest.mark.parametrize("text", ["a\ud83d", "\udc00", "fine words, then \ud800 and more"])
def test_half_of_a_surrogate_pair_is_refused_with_its_code(trained, text):
    for encode in (trained.encode, trained.encode_with_offsets, lambda text: trained.encode(text, allow_special=True)):
        with pytest.raises(InputError, match=r"U\+D[8C][03][0D], half of a surrogate pair"):
            encode(text)


@pytest.mark.parametrize(
    "texts", [b"ab", {"a": 1}, {"a"}, pd.DataFrame({"content": ["a b"]})], ids=lambda x: type(x).__name__
)
def test_what_only_can_be_gone_through_is_no_list_of_texts(texts):
    for use in (BPETokenizer.train(["a"], vocab_size=300).encode_batch, BPETokenizer.train):
        with pytest.raises(
            InputError, match=rf"a list of texts, as \[text\], or a column, not one {type(texts).__name__}"
        ):
            use(texts)


def test_what_is_not_a_text_is_refused(trained):
    with pytest.raises(InputError, match="got float"):
        trained.encode(float("nan"))
    with pytest.raises(InputError, match="expected a list of texts"):
        trained.encode_batch("one text")
    with pytest.raises(InputError, match="id 900 is not in the vocabulary; accepted are 0 to 899"):
        trained.decode([1, 900])
    with pytest.raises(InputError, match="decode takes the ids of one text"):
        trained.decode([[1, 2], [3]])


@pytest.mark.parametrize("word", ["a" * 300_000, "ab" * 50_000, "".join(random.Random(0).choices("abcdeth", k=30_000))])
def test_a_huge_word_takes_no_quadratic_time(trained, word):
    ids = trained.encode(word, add_special_tokens=False)  # a quadratic way would take minutes
    assert trained.decode(ids) == word
    assert len(ids) < len(word)


def test_the_memo_of_words_is_bounded(trained, monkeypatch):
    monkeypatch.setattr(tokenizer_module, "MEMO_ENTRIES", 10)
    tokenizer = BPETokenizer(trained.spec)
    texts = [f"w{i} {i} {'x' * i}" for i in range(300)]
    assert tokenizer.encode_batch(texts) == trained.encode_batch(texts)
    assert len(tokenizer._words) <= 10
    assert max(map(len, tokenizer._words)) <= tokenizer_module.MEMO_KEY


def test_a_result_may_be_changed_without_changing_the_tokenizer(trained):
    first = trained.encode("again and again", add_special_tokens=False)
    expected = list(first)
    first.clear()
    assert trained.encode("again and again", add_special_tokens=False) == expected


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_a_copy_encodes_the_same(trained, duplicate):
    assert duplicate(trained).encode("don't copy that, aaa 這個") == trained.encode("don't copy that, aaa 這個")


def test_ids_in_the_range_of_surrogates_are_ids_like_any_other(trained):
    moved = {token: id + 0xD700 for token, id in trained.get_vocab().items()}
    tokenizer = BPETokenizer(TokenizerSpec("BPE", moved, merges=trained.spec.merges))
    text = CORPORA["code"][0]
    assert tokenizer.encode(text) == [id + 0xD700 for id in trained.encode(text, add_special_tokens=False)]
    assert tokenizer.decode(tokenizer.encode(text)) == text


# Cutting to length.


@pytest.mark.parametrize(
    ("truncation", "kept"), [("head", "abcde"), ("tail", "fghij"), ("head_tail", "abcij")], ids=["head", "tail", "both"]
)
def test_long_texts_are_cut_counted_and_warned_about_once(truncation, kept):
    tokenizer = BPETokenizer.train([""], vocab_size=260)
    texts = ["abcdefghij", "ab", "abcdefghij", "abcde"]
    with pytest.warns(TruncationWarning) as warned:
        rows = tokenizer.encode_batch(texts, max_length=7, truncation=truncation)
    assert [str(warning.message) for warning in warned] == [
        f"2 of 4 texts longer than 7 tokens were cut, keeping the {truncation.replace('_', ' and ')}"
    ]
    assert [tokenizer.decode(row) for row in rows] == [kept, "ab", kept, "abcde"]
    assert all(row[0] == tokenizer.cls_id and row[-1] == tokenizer.sep_id for row in rows)
    assert max(map(len, rows)) == 7


def test_nothing_is_said_when_nothing_is_cut(trained):
    assert trained.encode_batch(["short"], max_length=20) == [trained.encode("short")]  # a warning would fail the test


@given(st.lists(st.integers(), max_size=20), st.integers(0, 25), st.sampled_from(["head", "tail", "head_tail"]))
def test_truncate_keeps_the_ends(ids, max_length, truncation):
    kept = truncate(ids, max_length, truncation)
    assert len(kept) == min(len(ids), max_length)
    head = {"head": len(kept), "tail": 0, "head_tail": len(kept) - len(kept) // 2}[truncation]
    assert kept == ids[:head] + ids[len(ids) - len(kept) + head :]


def test_impossible_lengths_are_refused(trained):
    with pytest.raises(InputError, match="max_length 2 leaves no room"):
        trained.encode_batch(["text"], max_length=2)
    with pytest.raises(InputError, match="'middle'; accepted are head, tail, head_tail"):
        trained.encode_batch(["text"], max_length=20, truncation="middle")


# Explaining.


def test_explaining_ends_at_the_ids_of_encoding(trained):
    for text in ("I don't loved the watching 漢 🙂", "aaaa\n\n  b"):
        lines = trained.explain(text)
        headers = [line for line in lines if not line.startswith("  ")]
        ids = [int(id) for line in headers for id in line.split("-> ")[1].split()]
        assert ids == trained.encode(text, add_special_tokens=False)
        last_rows = [lines[i - 1] for i, line in enumerate(lines) if i and not line.startswith("  ")] + lines[-1:]
        spelt = " ".join(trained.readable(id) for id in ids)
        assert " ".join(row.split("   ")[0].strip() for row in last_rows) == spelt


@pytest.mark.parametrize(("text", "shown"), [(" ", "·"), ("\n", r"\n"), ("\0", r"\x00"), ("é", "é"), ("a", "a")])
def test_tokens_are_shown_readably(text, shown):
    tokenizer = BPETokenizer.train([text * 2], vocab_size=262)
    assert "".join(tokenizer.readable(id) for id in tokenizer.encode(text, add_special_tokens=False)) == shown
    assert tokenizer.readable(tokenizer.token_to_id("Ã")) == "<C3>"
