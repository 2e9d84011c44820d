"""Whatever a model directory says about its tokenizer: the ids of transformers, or one line that says why not."""

import itertools
import json
import random
import unicodedata
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from minitx.errors import InputError
from minitx.text.load import load_tokenizer

WORDS = "the cat sat un able ##able ##s play a b c É é e Foo foo bar 漢 字 ! , . new york ##york x ##o"
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
MPNET = ["<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", *WORDS.split(), "<mask>"]
PAIRS = ["t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat", "f o", "fo x"]
BPE = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
BPE += [*(pair.replace(" ", "") for pair in PAIRS), "<mask>", "<|endoftext|>"]

TEXTS = [
    "the cat sat",
    "The Cat É é 漢字 unable playing, foxy",
    "  the  cat",
    "foo Foo fooFoo foobar FOO, new york NEW YORK newyork",
    "a\u0301e b! c.",
    "NEWTOK newtok newtoks [E1] xnewtok",
    "New York  new york\u3000x",
    "the\tcat\n\n foo\x1c foo",
    "",
    "İstanbul ẞ",
]
FORGED = ["[CLS] the [MASK] cat", "the <mask> cat</s> <s>", "[mask] [MASK][MASK] a<pad>b", "<MASK> x [sep]"]

ROLES = {
    "bert": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"},
    "mpnet": {
        "bos": "<s>",
        "eos": "</s>",
        "unk": "[UNK]",
        "sep": "</s>",
        "pad": "<pad>",
        "cls": "<s>",
        "mask": "<mask>",
    },
    "gpt2": {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
}
ROLES["roberta"] = ROLES["mpnet"] | {"unk": "<unk>"}
CLASSES = {
    "bert": ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast"],
    "mpnet": ["MPNetTokenizer", "MPNetTokenizerFast"],
    "roberta": ["RobertaTokenizer", "RobertaTokenizerFast"],
    "gpt2": ["GPT2Tokenizer", "GPT2TokenizerFast"],
}
SETTINGS = {
    "do_lower_case": [True, False],
    "strip_accents": [True, False, None],
    "tokenize_chinese_chars": [True, False],
    "add_prefix_space": [True, False],
    "trim_offsets": [True, False],
    "never_split": [None, ["foo"]],
    "model_max_length": [16],
}


def write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def chance(rng: random.Random, p: float) -> bool:
    return rng.random() < p


def their_file(kind: str, rng: random.Random) -> Tokenizer:
    """A tokenizer.json whose parts often disagree with the class that reads it."""
    if kind in ("bert", "mpnet"):
        vocab = {token: id for id, token in enumerate(BERT if kind == "bert" else MPNET)}
        longest = rng.choice([100, 100, 4])
        result = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=longest))
        choices = {"lowercase": chance(rng, 0.5), "strip_accents": rng.choice([None, True, False])}
        bert = normalizers.BertNormalizer(handle_chinese_chars=chance(rng, 0.7), **choices)
        result.normalizer = rng.choice([bert, normalizers.BertNormalizer(), None])
        result.pre_tokenizer, result.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    else:
        vocab = {token: id for id, token in enumerate(BPE)}
        result = Tokenizer(models.BPE(vocab, [tuple(pair.split()) for pair in PAIRS]))
        result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=chance(rng, 0.4))
        result.normalizer = rng.choice([None, normalizers.NFC()])
        result.decoder = decoders.ByteLevel()
    first, last = ("[CLS]", "[SEP]") if kind == "bert" else ("<s>", "</s>")
    ends = (last, vocab[last]), (first, vocab[first])
    template = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=[*ends])
    some = [None, processors.BertProcessing(*ends), processors.RobertaProcessing(*ends), template]
    if processor := rng.choice(some[: 1 if kind == "gpt2" else 4]):
        result.post_processor = processor
    if chance(rng, 0.8):
        result.add_special_tokens([AddedToken(token, normalized=chance(rng, 0.2)) for token in ROLES[kind].values()])
    return result


def make_directory(directory: Path, rng: random.Random) -> None:
    kind = rng.choice(["bert", "bert", "mpnet", "roberta", "gpt2"])
    vocab = {token: id for id, token in enumerate({"bert": BERT, "mpnet": MPNET}.get(kind, BPE))}
    theirs = their_file(kind, rng)
    config = {key: rng.choice(values) for key, values in SETTINGS.items() if chance(rng, 0.25)}
    model = {"model_type": {"gpt2": "roberta"}.get(kind, kind)}
    has_file = chance(rng, 0.65)
    names = CLASSES[kind] + ["PreTrainedTokenizerFast", "TokenizersBackend"] * has_file
    if kind == "gpt2" or chance(rng, 0.8):
        (config if chance(rng, 0.8) else model)["tokenizer_class"] = rng.choice(names)

    def flags() -> dict:
        return {key: chance(rng, 0.25) for key in ("lstrip", "rstrip", "single_word")} | {
            "normalized": chance(rng, 0.6)
        }

    if chance(rng, 0.5):
        for role, token in ROLES[kind].items():
            entry = {"__type": "AddedToken", "content": token, "special": True, **flags()}
            config[f"{role}_token"] = entry if chance(rng, 0.4) else token
    added = rng.sample(["NEWTOK", "New York", "foo", "[E1]", "xa"], rng.randrange(4))
    ids = {}
    for token in added:
        ids[token] = vocab.get(token, len(vocab) + len(ids.keys() - vocab.keys()))
    where = rng.choice(["tokenizer.json", "tokenizer_config.json", "added_tokens.json"])
    if added and where == "tokenizer.json" and has_file:
        theirs.add_tokens([AddedToken(token, **flags()) for token in added])
    elif added and where == "added_tokens.json":
        write(directory / where, ids)
    elif added and where == "tokenizer_config.json":
        entries = {str(id): {"content": token, "special": False, **flags()} for token, id in ids.items()}
        roles = ROLES[kind].values() if chance(rng, 0.7) else ()
        entries |= {str(vocab[token]): {"content": token, "special": True, "normalized": False} for token in roles}
        config["added_tokens_decoder"] = entries
    if chance(rng, 0.15):
        named = {f"{role}_token": rng.choice([token, {"content": token}]) for role, token in ROLES[kind].items()}
        write(directory / "special_tokens_map.json", named)
    if has_file:
        theirs.save(str(directory / "tokenizer.json"))
    if not has_file or chance(rng, 0.3):
        if kind in ("bert", "mpnet"):
            (directory / "vocab.txt").write_text("\n".join([*vocab, ""]), encoding="utf-8")
        else:
            write(directory / "vocab.json", vocab)
            (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *PAIRS, ""]), encoding="utf-8")
    if config:
        write(directory / "tokenizer_config.json", config)
    write(directory / "config.json", model)


def assert_same(directory: Path, texts: list[str]) -> None:
    ours, theirs = load_tokenizer(directory), AutoTokenizer.from_pretrained(directory)
    for text in texts:
        expected = theirs._tokenizer.encode(text)
        encoding = ours.encode_with_offsets(text, allow_special=True)
        assert ours.encode(text, allow_special=True) == encoding.ids == expected.ids == theirs(text)["input_ids"], text
        assert encoding.offsets == expected.offsets, text
        if text not in FORGED:
            assert ours.encode(text) == expected.ids
    for one, other in itertools.product(texts[:4], texts[4:6]):
        for most in (None, 5, 8, 11):
            kwargs = {"max_length": most, "truncation": "longest_first"} if most else {}
            both = theirs(one, other, return_token_type_ids=True, **kwargs)
            pair = ours.encode_pair(one, other, max_length=most, allow_special=True)
            assert (pair.ids, pair.type_ids) == (both["input_ids"], both["token_type_ids"]), (one, other, most)


@pytest.mark.parametrize("seed", range(8))
def test_a_directory_gives_the_ids_and_offsets_of_transformers(tmp_path, seed):
    for i in range(10):
        directory = tmp_path / str(i)
        directory.mkdir()
        make_directory(directory, random.Random(100 * seed + i))
        assert_same(directory, TEXTS + FORGED)


def bert_directory(directory: Path, config: dict, model: object = None) -> Path:
    (directory / "vocab.txt").write_text("\n".join([*BERT, ""]), encoding="utf-8")
    write(directory / "tokenizer_config.json", config)
    write(directory / "config.json", model or {"model_type": "bert"})
    return directory


REFUSED = {
    "Japanese": ({"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class 'BertJapaneseTokenizer' is not"),
    "PhoBERT": ({"tokenizer_class": "PhobertTokenizer"}, "tokenizer_class 'PhobertTokenizer' is not implemented"),
    "BERTweet": ({"tokenizer_class": "BertweetTokenizer"}, "tokenizer_class 'BertweetTokenizer' is not implemented"),
    "another kind": ({"tokenizer_class": "RobertaTokenizer"}, "tokenizer_class 'RobertaTokenizer' needs BPE, but"),
    "needs the file": ({"tokenizer_class": "PreTrainedTokenizerFast"}, "needs tokenizer.json, but"),
    "class a number": ({"tokenizer_class": 3}, "tokenizer_class is 3; it must be text"),
    "left": ({"padding_side": "left"}, "padding_side 'left' is not implemented; accepted: right"),
    "tail": ({"truncation_side": "left"}, "truncation_side 'left' is not implemented; accepted: right"),
    "unknown": ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type 'mecab' is not implemented; only keys that"),
    "word length": ({"max_input_chars_per_word": 9}, "max_input_chars_per_word 9 is not implemented"),
    "code": ({"auto_map": {"AutoTokenizer": ["a.B", None]}}, "auto_map {'AutoTokenizer': ['a.B', None]} is not"),
    "no opening token": ({"cls_token": "[NOPE]"}, "the special token '[NOPE]' is not in the vocabulary"),
    "more specials": ({"extra_special_tokens": ["[NEW]"]}, "the special token '[NEW]' is not in the vocabulary"),
    "id of another": ({"added_tokens_decoder": {"7": {"content": "new word"}}}, "'new word' has the id 7, but"),
    "id not a number": ({"added_tokens_decoder": {"x": {"content": "new"}}}, "id is 'x'; it must be a whole number"),
    "entry a text": ({"added_tokens_decoder": {"7": "new"}}, "added_tokens_decoder: 7 is 'new'; it must be an object"),
    "opening text": ({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True}, "add_bos_token True is not"),
    "token a number": ({"cls_token": 3}, "the token 3 must be text or"),
    "token nested": ({"cls_token": {"content": {}}}, "the token {'content': {}} must be text or"),
    "no token": ({"cls_token": None}, "cls is [None, None]; it must be a token of the vocabulary and its id"),
    "no unknown": ({"unk_token": None}, "unk_token is missing; it must be text"),
    "specials a text": ({"extra_special_tokens": "[NEW]"}, "extra_special_tokens is '[NEW]'; it must be a list"),
    "content a list": ({"added_tokens_decoder": {"7": {"content": []}}}, "7: content is []; it must be text"),
    "id of many digits": ({"added_tokens_decoder": {"9" * 5000: {"content": "x"}}}, "it must be a whole number"),
    "lower": ({"do_lower_case": "no"}, "do_lower_case is 'no'; it must be true or false"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_done_as_transformers_does_it_is_refused_by_file_key_and_value(tmp_path, case):
    config, message = REFUSED[case]
    with pytest.raises(InputError) as error:
        load_tokenizer(bert_directory(tmp_path, config))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_class_that_config_json_names_counts_where_no_other_does(tmp_path):
    named = {"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"}
    bert_directory(tmp_path, {}, named)
    with pytest.raises(InputError, match=r"/config\.json: tokenizer_class 'BertJapaneseTokenizer' is not implemented"):
        load_tokenizer(tmp_path)
    bert_directory(tmp_path, {"tokenizer_class": "BertTokenizer"}, named)
    assert_same(tmp_path, TEXTS)


def test_a_special_token_spelt_out_is_text_until_the_tokenizer_is_told_otherwise(tmp_path):
    ours = load_tokenizer(bert_directory(tmp_path, {}))
    text = "the [SEP] cat"
    assert ours.encode_batch([text]) == [ours.encode(text)]
    assert 3 not in ours.encode(text, add_special_tokens=False)
    ours.allow_special = True
    expected = AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"]
    assert ours.encode_batch([text]) == [ours.encode(text)] == [expected]
    assert ours.encode_with_offsets(text).ids == expected
    assert 3 not in ours.encode(text, add_special_tokens=False, allow_special=False)


def test_a_pair_that_leaves_no_room_is_refused(tmp_path):
    ours = load_tokenizer(bert_directory(tmp_path, {}))
    assert len(ours.encode_pair("the cat", "sat", max_length=4).ids) == 4
    with pytest.raises(InputError, match="max_length 3 leaves no room for text beside the special tokens"):
        ours.encode_pair("the cat", "sat", max_length=3)
    with pytest.raises(InputError, match="a text must be a str, got float"):
        ours.encode_pair("the cat", float("nan"))


def test_an_added_token_survives_saving(tmp_path):
    entries = {"5": {"content": "The", "single_word": True, "lstrip": True, "normalized": False}}
    entries = {str(len(BERT)): entries["5"]}
    ours = load_tokenizer(bert_directory(tmp_path, {"added_tokens_decoder": entries}))
    ours.save(tmp_path / "again.json")
    again, theirs = type(ours).load(tmp_path / "again.json"), Tokenizer.from_file(str(tmp_path / "again.json"))
    assert again.spec.added_tokens == ours.spec.added_tokens
    assert [again.encode(text) for text in TEXTS] == [theirs.encode(text).ids for text in TEXTS]
    assert len(BERT) in again.encode("a The cat")
    assert len(BERT) not in again.encode("a TheThe cat")


def test_an_added_token_of_which_cleaning_leaves_nothing_is_refused(tmp_path):
    entries = {str(len(BERT)): {"content": "\u0301", "normalized": True}}
    with pytest.raises(InputError, match="nothing is left of the added token '\u0301' by cleaning"):
        load_tokenizer(bert_directory(tmp_path, {"added_tokens_decoder": entries}))


def test_ids_and_offsets_follow_marks_that_cleaning_reorders(tmp_path):
    odd = [
        "a\u302e\u0323b c",
        "a\u0301\u302e\u0323",
        "é\u0323\u302eb",
        "\u302e\u0323a",
        "\u089c\u032f b",
        "\u1715\u302e\u16d0",
    ]
    rng = random.Random(0)
    marks = [chr(code) for code in range(0x20000) if unicodedata.combining(chr(code))]
    odd += ["a" + "".join(rng.choices(marks, k=4)) + "b é\u0323" for _ in range(400)]
    bert = [*BERT, *marks, *(f"##{mark}" for mark in marks)]
    (tmp_path / "vocab.txt").write_text("\n".join([*bert, ""]), encoding="utf-8")
    write(tmp_path / "config.json", {"model_type": "bert"})
    ours, theirs = load_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)._tokenizer
    for text in odd:
        expected = theirs.encode(text)
        assert ours.encode(text) == ours.encode_with_offsets(text).ids == expected.ids, ascii(text)
        assert ours.encode_with_offsets(text).offsets == expected.offsets, ascii(text)
