"""Unigram: the ids, offsets and texts of `tokenizers`, for every way in which a file may ask to clean and split."""

import base64
import copy
import doctest
import itertools
import json
import pickle
import random
import struct
import unicodedata

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from minitx.errors import InputError
from minitx.text import cleaning, unigram
from minitx.text.load import load_tokenizer
from minitx.text.unigram import UnigramTokenizer

TABLE = {"\t": " ", "\n": " ", "\xa0": " ", "\u3000": " ", "\u200b": "", "\x01": "", "\r": "", "ﬁ": "fi", "½": "1⁄2"}
TABLE |= {
    "①": "1",
    "Ａ": "A",
    "＜": "<",
    "＞": ">",
    "e\u0301": "é",
    "\u309b": " \u3099",
    "İ": "i\u0307",
    "㌀": "アパート",
}
WORDS = "the cat sat on a mat and the hat was flat; naïve café, 漢字 привет able unable <s>"
MARKS = [chr(i) for i in range(0x11000) if unicodedata.category(chr(i)) in ("Mn", "Mc", "Me", "Cf", "Cc")]
ODD = [
    *TABLE,
    " ",
    "  ",
    "▁",
    "\x1c",
    "\x85",
    "\u2028",
    "🙂",
    "👩‍👩‍👧",
    "é",
    "e\u0301",
    "<s>",
    "</s>",
    " <mask>",
    "＜s＞",
    "<unk>",
    "＜unk＞x",
]


def charsmap(table: dict[str, str]) -> bytes:
    """SentencePiece's format: the size of a double array, the array, and the replacements behind it."""
    trie: dict = {}
    texts = b""
    for key, new in table.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)
        texts += new.encode() + b"\0"
    units = {0: 0}
    waiting = [(0, trie)]
    while waiting:
        place, node = waiting.pop()
        base = next(b for b in itertools.count(1) if not any(b ^ byte in units for byte in node))
        units[place] |= (place ^ base) << 10 | (0 in node) << 8
        for byte, child in node.items():
            units[base ^ byte] = byte if byte else child | 1 << 31
            if byte:
                waiting.append((base ^ byte, child))
    array = [units.get(place, 0) for place in range(max(units) // 256 * 256 + 256)]  # so that any byte leads inside
    return struct.pack(f"<I{len(array)}I", 4 * len(array), *array) + texts


def texts(n: int, seed: int) -> list[str]:
    """Words, marks, blanks, what is to be replaced, special tokens spelt out and code points of all of Unicode."""
    rng = random.Random(seed)

    def some() -> str:
        code = rng.randrange(0x110000 - 0x800)
        any_character = chr(code if code < 0xD800 else code + 0x800)
        return rng.choice(
            [
                rng.choice(WORDS.split()) + " ",
                rng.choice(WORDS.split()),
                rng.choice(MARKS),
                rng.choice(ODD),
                any_character,
            ]
        )

    return ["".join(some() for _ in range(rng.randrange(12))) for _ in range(n)]


PRECOMPILED = normalizers.Precompiled(charsmap(TABLE))
BLANKS = normalizers.Replace(Regex(" {2,}"), "▁")
NORMALIZERS = {
    "charsmap": PRECOMPILED,
    "charsmap, strip, spaces": normalizers.Sequence([PRECOMPILED, normalizers.Strip(left=False, right=True), BLANKS]),
    "strip both, replace": normalizers.Sequence([normalizers.Strip(), PRECOMPILED, normalizers.Replace("cat", "dog")]),
    "none": None,
}


@pytest.fixture(scope="module")
def pieces() -> list[tuple[str, float]]:
    """A vocabulary that `tokenizers` learnt, in XLM-R's order."""
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=150, unk_token="<unk>", show_progress=False)
    learner.train_from_iterator(WORDS.split() * 3 + ["the cats sat unable", "flat hats"], trainer)
    return in_order_of_xlm_roberta(learner)


def in_order_of_xlm_roberta(learner: Tokenizer) -> list[tuple[str, float]]:
    learnt = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["vocab"] if pair[0][0] != "<"]
    return [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")] + [*learnt, ("<mask>", 0.0)]


def theirs_of(pieces, normalizer="charsmap", scheme="always", words=True, split=True, byte_fallback=False) -> Tokenizer:
    if byte_fallback:
        pieces = pieces + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    result = Tokenizer(models.Unigram(pieces, 3, byte_fallback))
    if NORMALIZERS[normalizer]:
        result.normalizer = NORMALIZERS[normalizer]
    metaspace = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    result.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace]) if words else metaspace
    )
    result.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split)
    ends = [("<s>", 0), ("</s>", 2)]
    single, pair = "<s> $A </s>", "<s> $A </s> </s> $B </s>"
    result.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ends)
    result.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False)])
    return result


def assert_same(ours: UnigramTokenizer, theirs: Tokenizer, many: list[str]) -> None:
    for text, expected in zip(many, theirs.encode_batch(many), strict=True):
        encoding = ours.encode_with_offsets(text, allow_special=True)
        assert ours.encode(text, allow_special=True) == encoding.ids == expected.ids, ascii(text)
        assert encoding.offsets == expected.offsets, ascii(text)
        for skip in (True, False):
            decoded = ours.decode(expected.ids, skip_special_tokens=skip)
            assert decoded == theirs.decode(expected.ids, skip_special_tokens=skip), ascii(text)
    theirs.encode_special_tokens = True
    for text, expected in zip(many, theirs.encode_batch(many), strict=True):
        if not any(sign in text for sign in "<＜"):
            assert ours.encode(text) == expected.ids, ascii(text)
    theirs.encode_special_tokens = False
    pair, expected = ours.encode_pair("the cat", "a hat"), theirs.encode("the cat", "a hat")
    assert (pair.ids, pair.type_ids) == (expected.ids, expected.type_ids)


CHOICES = [
    {"normalizer": "charsmap, strip, spaces", "words": False},
    {"normalizer": "charsmap, strip, spaces", "scheme": "first", "words": False, "byte_fallback": True},
    {"normalizer": "strip both, replace", "scheme": "first"},
    {"normalizer": "none", "scheme": "never", "byte_fallback": True},
    {"scheme": "first", "split": False},
    {"scheme": "never", "words": False, "split": False},
    {},
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_ids_offsets_and_texts_are_those_of_tokenizers(pieces, tmp_path, choice):
    theirs = theirs_of(pieces, **choice)
    theirs.save(str(tmp_path / "t.json"))
    ours = load_tokenizer(tmp_path / "t.json")
    assert isinstance(ours, UnigramTokenizer)
    assert_same(ours, theirs, ["", " ", "the cats", *texts(400, CHOICES.index(choice))])
    ours.save(tmp_path / "again.json")
    again = UnigramTokenizer.load(tmp_path / "again.json")
    assert again.spec == ours.spec
    assert_same(again, Tokenizer.from_file(str(tmp_path / "again.json")), texts(20, 1))


def test_the_best_cut_is_found_among_all_of_them(pieces, tmp_path):
    theirs_of(pieces).save(str(tmp_path / "t.json"))
    ours, scores = load_tokenizer(tmp_path / "t.json"), dict(pieces)
    for word in ("▁unable", "▁catsat", "▁thehat"):
        bounds = range(1, len(word))
        cuts = [(0, *inner, len(word)) for n in range(len(word)) for inner in itertools.combinations(bounds, n)]
        sums = [sum(scores.get(word[a:b], -1e9) for a, b in itertools.pairwise(cut)) for cut in cuts]
        found = [piece for _, piece in ((i, ours.id_to_token(i)) for i in ours.encode(word, add_special_tokens=False))]
        assert sum(scores[piece] for piece in found) == pytest.approx(max(sums))
        assert max(sums) > -1e8


def test_a_special_token_that_is_spelt_out_is_not_found_as_a_piece_either(pieces, tmp_path):
    theirs_of(pieces).save(str(tmp_path / "t.json"))
    ours = load_tokenizer(tmp_path / "t.json")
    for text in ("a<s>b", "</s>", "＜s＞", "the <mask>"):
        assert not {0, 2, len(pieces) - 1} & set(ours.encode(text, add_special_tokens=False)), text
        assert {0, 2, len(pieces) - 1} & set(ours.encode(text, add_special_tokens=False, allow_special=True)), text


@pytest.mark.parametrize("name", ["XLMRobertaTokenizer", "XLMRobertaTokenizerFast", "PreTrainedTokenizerFast", None])
@pytest.mark.parametrize("config", [{}, {"add_prefix_space": False, "eos_token": "<unk>"}])
def test_the_directory_of_an_xlm_roberta_gives_the_ids_of_transformers(pieces, tmp_path, name, config):
    theirs_of(pieces, "charsmap, strip, spaces", words=False).save(str(tmp_path / "tokenizer.json"))
    config |= {"tokenizer_class": name} if name else {}
    entries = {str(len(pieces)): {"content": "mat", "single_word": True}} | {"4": {"content": pieces[4][0]}}
    for added in (None, entries):
        config |= {"added_tokens_decoder": entries} if added else {}
        for file, data in {"tokenizer_config": config, "config": {"model_type": "xlm-roberta"}}.items():
            (tmp_path / f"{file}.json").write_text(json.dumps(data), encoding="utf-8")
        theirs = AutoTokenizer.from_pretrained(tmp_path)._tokenizer
        assert_same(load_tokenizer(tmp_path), theirs, texts(60, 2))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_a_copy_and_a_pickle_give_the_same_ids(pieces, tmp_path, again):
    theirs_of(pieces).save(str(tmp_path / "tokenizer.json"))
    tokenizer = UnigramTokenizer.load(tmp_path / "tokenizer.json")
    tokenizer.allow_special = True
    other = again(tokenizer)
    many = [*texts(50, 3), *ODD]
    assert [other.encode(text) for text in many] == [tokenizer.encode(text) for text in many]
    assert other.allow_special


def test_explain_shows_the_pieces_and_what_is_unknown(pieces, tmp_path):
    assert doctest.testmod(unigram).failed == doctest.testmod(cleaning).failed == 0
    theirs_of(pieces, byte_fallback=True).save(str(tmp_path / "t.json"))
    lines = load_tokenizer(tmp_path / "t.json").explain("the ж")
    assert len(lines) == 4
    assert lines[0].startswith("'▁the' -> ")


BAD_UNITS = base64.b64encode(struct.pack("<II", 4, 1 << 31)).decode()
DAMAGE = {
    "score a text": (lambda d: d["model"]["vocab"].append(["x", "1"]), "vocab 150 is ['x', '1']"),
    "score not finite": (lambda d: d["model"]["vocab"].append(["x", 1e300]), "vocab 150 is ['x', 1e+300]"),
    "no pair": (lambda d: d["model"]["vocab"].append("x"), "vocab 150 is 'x'; it must be [\"piece\", score]"),
    "piece twice": (lambda d: d["model"]["vocab"].append(["<s>", 0]), "vocab 150 is ['<s>', 0]; it must be"),
    "long piece": (
        lambda d: d["model"]["vocab"].append(["x" * 1001, 0]),
        "each piece once and of at most 1,000 characters",
    ),
    "no vocabulary": (lambda d: d["model"].update(vocab=[]), "vocabulary lacks '', the token for unknown words"),
    "no unknown": (lambda d: d["model"].update(unk_id=None), "model: unk_id is missing; it must be a whole number"),
    "unknown too large": (lambda d: d["model"].update(unk_id=9999), "vocabulary lacks '', the token for unknown words"),
    "other split": (lambda d: d.update(pre_tokenizer={"type": "ByteLevel"}), "pre_tokenizer 'ByteLevel' is not"),
    "other parts": (lambda d: d["pre_tokenizer"]["pretokenizers"].pop(), "pre_tokenizer is not implemented; accepted:"),
    "other sign": (lambda d: d["decoder"].update(replacement="_"), "decoder: replacement '_' is not implemented"),
    "other scheme": (
        lambda d: d["decoder"].update(prepend_scheme="never"),
        "decoder: prepend_scheme 'never' is not implemented; accepted: always",
    ),
    "scheme unknown": (lambda d: d["decoder"].update(prepend_scheme="maybe"), "prepend_scheme 'maybe' is not"),
    "no scheme, yet one": (
        lambda d: d["decoder"].update(add_prefix_space=False),
        "add_prefix_space False is not implemented; accepted: True",
    ),
    "no decoder": (lambda d: d.update(decoder=None), "decoder 'none' is not implemented"),
    "other normalizer": (lambda d: d.update(normalizer={"type": "NFKC"}), "normalizer: type 'NFKC' is not implemented"),
    "no base64": (lambda d: d["normalizer"].update(precompiled_charsmap="x!"), "precompiled_charsmap is damaged"),
    "cut off": (lambda d: d["normalizer"].update(precompiled_charsmap="ALwCAACE"), "precompiled_charsmap is damaged"),
    "empty": (lambda d: d["normalizer"].update(precompiled_charsmap=""), "precompiled_charsmap is damaged"),
    "pattern": (
        lambda d: d.update(normalizer={"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""}),
        "normalizer: pattern: Regex 'a+' is not implemented",
    ),
    "no pattern": (
        lambda d: d.update(normalizer={"type": "Replace", "pattern": {"String": ""}, "content": ""}),
        "pattern: String is empty",
    ),
    "token type": (
        lambda d: d["post_processor"]["single"][0]["SpecialToken"].update(type_id=1),
        "single must have the texts A, and A alone type_id 0",
    ),
    "second text first": (
        lambda d: d["post_processor"]["pair"][1]["Sequence"].update(id="B"),
        "pair must have the texts A and B",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_or_unknown_is_refused_in_one_line(pieces, tmp_path, damage):
    change, message = DAMAGE[damage]
    data = json.loads(theirs_of(pieces).to_str())
    data["model"]["vocab"] = (data["model"]["vocab"] + [[f"filler {i}", 0.0] for i in range(150)])[:150]
    data["added_tokens"] = data["added_tokens"][:4]
    change(data)
    (tmp_path / "bad.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_tokenizer(tmp_path / "bad.json")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_leads_out_of_itself_replaces_nothing(pieces, tmp_path):
    data = json.loads(theirs_of(pieces).to_str())
    plain = json.loads(theirs_of(pieces, "none").to_str())
    data["normalizer"]["precompiled_charsmap"] = BAD_UNITS
    for name, content in {"bad": data, "plain": plain}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    bad, good = load_tokenizer(tmp_path / "bad.json"), load_tokenizer(tmp_path / "plain.json")
    assert [bad.encode(text) for text in texts(50, 3)] == [good.encode(text) for text in texts(50, 3)]


def test_older_files_say_only_whether_a_space_is_put_before_a_word(pieces, tmp_path):
    data = json.loads(theirs_of(pieces).to_str())
    for old in (True, False):
        metaspace = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": old}
        data["pre_tokenizer"]["pretokenizers"][1] = data["decoder"] = metaspace
        (tmp_path / "t.json").write_text(json.dumps(data), encoding="utf-8")
        try:
            theirs = Tokenizer.from_file(str(tmp_path / "t.json"))
        except Exception:  # it takes only True
            assert not old
        else:
            assert_same(load_tokenizer(tmp_path / "t.json"), theirs, texts(40, 4))
