"""Tokenizer files: what minitx writes `tokenizers` reads, and the reverse; what is damaged or unknown is refused."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from minitx.errors import InputError
from minitx.text.bpe import BPETokenizer
from minitx.text.load import load_tokenizer
from minitx.text.tokenizer_json import SpecialToken, TokenizerSpec
from minitx.text.wordpiece import WordPieceTokenizer

TEXTS = [
    "It's a  great app, isn't it?",
    " leading",
    "trailing ",
    "\n\n x",
    "naïve 漢字 🙂",
    "",
    " ",
    "<s> a <mask> b</s>",
]


@pytest.fixture(scope="module")
def bpe() -> BPETokenizer:
    return BPETokenizer.train([*TEXTS, "great greater greatest app apps"] * 2, vocab_size=320)


@pytest.fixture(scope="module")
def roberta(bpe) -> TokenizerSpec:
    """The same merges with RoBERTa's special tokens, in RoBERTa's order, <mask> last."""
    names = ["<s>", "<pad>", "</s>", "<unk>"]
    ordinary = list(bpe.get_vocab())[4:]
    vocab = {token: id for id, token in enumerate([*names, *ordinary, "<mask>"])}
    specials = [SpecialToken(name, vocab[name]) for name in names] + [
        SpecialToken("<mask>", vocab["<mask>"], lstrip=True)
    ]
    return TokenizerSpec("BPE", vocab, specials, ["<s>"], ["</s>"], merges=bpe.spec.merges, trim_offsets=True)


@pytest.fixture
def saved(bpe, tmp_path) -> dict:
    """The content of a good file, to be damaged."""
    bpe.save(tmp_path / "good.json")
    return json.loads((tmp_path / "good.json").read_text(encoding="utf-8"))


def write(path: Path, data: object) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def assert_same(ours: BPETokenizer | WordPieceTokenizer, theirs: Tokenizer) -> None:
    assert ours.get_vocab() == theirs.get_vocab()
    for text in TEXTS:
        encoding, expected = ours.encode_with_offsets(text, allow_special=True), theirs.encode(text)
        assert encoding.ids == ours.encode(text, allow_special=True) == expected.ids, text
        assert encoding.tokens == [token.strip() for token in expected.tokens]  # they spell a mask with its space
        assert encoding.offsets == expected.offsets, text
        assert ours.decode(expected.ids) == theirs.decode(expected.ids)


# What minitx writes.


@pytest.mark.parametrize("add_prefix_space", [False, True])
@pytest.mark.parametrize("trim_offsets", [False, True])
@pytest.mark.parametrize("keep_first_space", [False, True])
def test_what_we_save_tokenizers_reads_and_so_do_we(
    roberta, tmp_path, add_prefix_space, trim_offsets, keep_first_space
):
    choices = {"add_prefix_space": add_prefix_space, "trim_offsets": trim_offsets}
    spec = dataclasses.replace(roberta, **choices, keep_first_space=keep_first_space and trim_offsets)
    BPETokenizer(spec).save(tmp_path / "t.json")
    again = BPETokenizer.load(tmp_path / "t.json")
    assert again.spec == spec
    assert_same(again, Tokenizer.from_file(str(tmp_path / "t.json")))


def test_a_pair_of_texts_is_framed_as_bert_does(bpe, tmp_path):
    bpe.save(tmp_path / "t.json")
    tokens = Tokenizer.from_file(str(tmp_path / "t.json")).encode("a", "b")
    assert tokens.tokens == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert tokens.type_ids == [0, 0, 0, 1, 1]


def test_wordpiece_survives_saving_with_choices_that_are_not_the_default(tmp_path):
    vocab = {token: id for id, token in enumerate(["<pad>", "<s>", "</s>", "[?]", "a", "@@b", "B", "é", "漢"])}
    specials = [SpecialToken(name, vocab[name]) for name in ("<pad>", "<s>", "</s>", "[?]")]
    spec = TokenizerSpec("WordPiece", vocab, specials, ["<s>"], ["</s>"], unk_token="[?]", subword_prefix="@@")
    spec.max_word_length, spec.lowercase, spec.strip_accents, spec.split_chinese = 7, False, False, False
    spec.cleanup = spec.clean_text = False
    WordPieceTokenizer(spec).save(tmp_path / "t.json")
    again = load_tokenizer(tmp_path / "t.json")
    assert isinstance(again, WordPieceTokenizer)
    assert again.spec == spec
    theirs = Tokenizer.from_file(str(tmp_path / "t.json"))
    for text in ("ab B é 漢a aaaaaaaa abbbbbb", "a\0b", "a . b"):
        assert again.encode(text) == theirs.encode(text).ids
    vocab |= {".": 9}
    loose = WordPieceTokenizer(dataclasses.replace(spec, vocab=vocab))
    assert loose.decode([4, 9, 5]) == "a .b"  # without cleanup; "a.b" with it


def test_files_are_utf8_with_plain_line_ends(bpe, tmp_path):
    bpe.save(tmp_path / "t.json")
    data = (tmp_path / "t.json").read_bytes()
    assert b"\r" not in data
    assert "Ġ".encode() in data
    assert data.endswith(b"}\n")


def test_saving_where_nothing_can_be_written_is_an_input_error(bpe, tmp_path):
    for path in (tmp_path, tmp_path / "no" / "such" / "t.json"):
        with pytest.raises(InputError, match="cannot be written"):
            bpe.save(path)


# What others write.


def test_both_notations_of_merges_are_read(bpe, saved, tmp_path):
    saved["model"]["merges"] = [" ".join(pair) for pair in saved["model"]["merges"]]
    assert BPETokenizer.load(write(tmp_path / "old.json", saved)).spec == bpe.spec


@pytest.mark.parametrize(
    "processor",
    [
        None,
        processors.ByteLevel(trim_offsets=True, add_prefix_space=False),
        processors.ByteLevel(trim_offsets=True, add_prefix_space=True),
        processors.ByteLevel(trim_offsets=False),
        processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False),
        processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=True),
        processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False),
        processors.BertProcessing(("</s>", 2), ("<s>", 0)),
        processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]),
        processors.TemplateProcessing(single="$A </s> </s>", special_tokens=[("</s>", 2)]),
        processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=True, add_prefix_space=True),
                processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)]),
            ]
        ),
    ],
    ids=lambda processor: str(processor)[:60],
)
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_bpe_files_of_tokenizers_with_every_post_processor(roberta, tmp_path, processor, add_prefix_space):
    theirs = Tokenizer(models.BPE(roberta.vocab, [tuple(pair) for pair in roberta.merges]))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    theirs.decoder = Tokenizer.from_str(json.dumps(byte_level_decoder())).decoder
    if processor is not None:
        theirs.post_processor = processor
    theirs.add_special_tokens([special.content for special in roberta.special_tokens])
    theirs.save(str(tmp_path / "t.json"))
    ours = load_tokenizer(tmp_path / "t.json")
    assert ours.pad_id == 1
    assert_same(ours, theirs)


def byte_level_decoder() -> dict:
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    return {"version": "1.0", "added_tokens": [], "decoder": level, "model": model}


def test_gpt2_files_have_no_frame_and_a_special_beyond_the_vocabulary(roberta, tmp_path):
    special = {special.content for special in roberta.special_tokens}
    vocab = {token: id for id, token in enumerate(token for token in roberta.vocab if token not in special)}
    theirs = Tokenizer(models.BPE(vocab, [tuple(pair) for pair in roberta.merges]))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = Tokenizer.from_str(json.dumps(byte_level_decoder())).decoder
    theirs.post_processor = processors.ByteLevel(trim_offsets=False)
    theirs.add_special_tokens(["<|endoftext|>"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    assert_same(ours, theirs)
    assert ours.encode("a<|endoftext|>", allow_special=True)[-1] == ours.vocab_size - 1 == len(vocab)
    with pytest.raises(InputError, match="no padding token"):
        _ = ours.pad_id
    write(tmp_path / "tokenizer_config.json", {"pad_token": "<|endoftext|>"})
    assert load_tokenizer(tmp_path).pad_id == len(vocab)


def test_truncation_and_padding_of_the_file_are_left_to_the_caller(bpe, saved, tmp_path):
    theirs = Tokenizer.from_str(json.dumps(saved))
    theirs.enable_truncation(4)
    theirs.enable_padding(pad_token="[MASK]", pad_id=3, length=9)
    theirs.save(str(tmp_path / "t.json"))
    ours = BPETokenizer.load(tmp_path / "t.json")
    assert ours.encode(TEXTS[0]) == bpe.encode(TEXTS[0])
    assert ours.pad_id == 3


# Directories.


def test_vocab_json_and_merges_txt(roberta, tmp_path):
    write(tmp_path / "vocab.json", roberta.vocab)
    merges = "\n".join(" ".join(pair) for pair in roberta.merges)
    (tmp_path / "merges.txt").write_bytes(f"#version: 0.2\n{merges}\n".encode())
    ours = load_tokenizer(tmp_path)
    specials = [SpecialToken(token.content, token.id) for token in roberta.special_tokens]  # <mask> takes no space here
    pair = [("<s>", 0), (None, 0), ("</s>", 0), ("</s>", 0), (None, 0), ("</s>", 0)]
    roberta = dataclasses.replace(roberta, pad_token="<pad>", special_tokens=specials, pair=pair)
    assert ours.spec == roberta
    assert (ours.cls_id, ours.pad_id, ours.sep_id) == (0, 1, 2)
    (tmp_path / "merges.txt").write_bytes(f"{merges}\r\n".replace("\n", "\r\n").encode())  # no version line, Windows
    assert load_tokenizer(tmp_path).spec == roberta
    write(tmp_path / "tokenizer_config.json", {"add_prefix_space": True})
    assert load_tokenizer(tmp_path).spec == dataclasses.replace(roberta, add_prefix_space=True, keep_first_space=True)


def test_vocab_txt_with_the_names_of_mpnet(tmp_path):
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "##s", "<mask>"]
    (tmp_path / "vocab.txt").write_bytes("\n".join([*tokens, ""]).encode())
    ours = load_tokenizer(tmp_path)
    assert (ours.cls_id, ours.pad_id, ours.sep_id) == (0, 1, 2)
    assert ours.encode("Hellos what") == [0, 8, 9, 5, 2]


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({}, ["hello", "[UNK]"]),
        ({"do_lower_case": True, "strip_accents": None}, ["hello", "[UNK]"]),
        ({"do_lower_case": False}, ["[UNK]", "É"]),
        ({"do_lower_case": True, "strip_accents": False}, ["hello", "é"]),
    ],
)
def test_tokenizer_config_decides_about_capitals_and_accents(tmp_path, config, tokens):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\né\nÉ", encoding="utf-8")
    load_tokenizer(tmp_path).save(tmp_path / "tokenizer.json")
    write(tmp_path / "tokenizer_config.json", config)
    for file in ("tokenizer.json", "vocab.txt"):
        encoding = load_tokenizer(tmp_path).encode_with_offsets("Hello É", add_special_tokens=False)
        assert encoding.tokens == tokens
        if file == "tokenizer.json":
            (tmp_path / file).unlink()  # and once more from vocab.txt


def test_a_class_that_takes_tokenizer_json_as_it_is_overrides_nothing(tmp_path):
    WordPieceTokenizer(TokenizerSpec("WordPiece", {"[UNK]": 0, "hello": 1})).save(tmp_path / "tokenizer.json")
    write(tmp_path / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False})
    assert load_tokenizer(tmp_path).encode("Hello") == [1]


def test_a_directory_or_path_with_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt"):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match="nothing: No such file or directory; expected a readable file"):
        load_tokenizer(tmp_path / "nothing")
    with pytest.raises(InputError, match="Is a directory; expected a readable file"):
        BPETokenizer.load(tmp_path)


def test_each_class_refuses_the_files_of_the_other(bpe, tmp_path):
    bpe.save(tmp_path / "bpe.json")
    with pytest.raises(InputError, match="holds a BPE tokenizer; WordPieceTokenizer accepts WordPiece"):
        WordPieceTokenizer.load(tmp_path / "bpe.json")
    WordPieceTokenizer(TokenizerSpec("WordPiece", {"[UNK]": 0})).save(tmp_path / "wp.json")
    with pytest.raises(InputError, match="holds a WordPiece tokenizer; BPETokenizer accepts BPE"):
        BPETokenizer.load(tmp_path / "wp.json")


# Damaged and hostile files. Each entry changes a good file; the message must name what is wrong.


def _set(*keys: str | int, to: object):
    def change(data: dict) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = to

    return change


def _drop(*keys: str):
    def change(data: dict) -> None:
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


DAMAGE = {
    "unknown model": (
        _set("model", "type", to="WordLevel"),
        "model: type 'WordLevel' is not implemented; accepted: BPE, WordPiece, Unigram",
    ),
    "unknown normalizer": (_set("normalizer", to={"type": "NFKC"}), "normalizer 'NFKC' is not implemented"),
    "normalizer without type": (_set("normalizer", to={}), "bad.json: normalizer: type is missing; it must be text"),
    "unknown pre_tokenizer": (_set("pre_tokenizer", to={"type": "Metaspace"}), "pre_tokenizer 'Metaspace'"),
    "no pre_tokenizer": (
        _set("pre_tokenizer", to=None),
        "pre_tokenizer 'none' is not implemented; accepted: ByteLevel",
    ),
    "unknown decoder": (_set("decoder", to={"type": "CTC"}), "decoder 'CTC'"),
    "unknown post_processor": (_set("post_processor", to={"type": "Magic"}), "'Magic' is not implemented"),
    "post_processor a list": (_set("post_processor", to=[]), "bad.json: post_processor is []; it must be an object"),
    "other split": (_set("pre_tokenizer", "use_regex", to=False), "use_regex False is not implemented"),
    "dropout": (_set("model", "dropout", to=0.1), "dropout 0.1 is not implemented"),
    "ignore_merges": (_set("model", "ignore_merges", to=True), "ignore_merges True is not implemented"),
    "byte_fallback": (_set("model", "byte_fallback", to=True), "byte_fallback True"),
    "word suffix": (_set("model", "end_of_word_suffix", to="</w>"), "end_of_word_suffix '</w>'"),
    "no model": (_drop("model"), "bad.json: model is missing; it must be an object"),
    "no vocabulary": (_drop("model", "vocab"), "bad.json: model: vocab is missing; it must be an object"),
    "empty vocabulary": (
        lambda d: d.update(added_tokens=[], model=d["model"] | {"vocab": {}}),
        "bad.json: the vocabulary is empty",
    ),
    "no merges": (_drop("model", "merges"), "model: merges is missing; it must be a list"),
    "merges not a list": (_set("model", "merges", to={"a": "b"}), "model: merges is {'a': 'b'}; it must be a list"),
    "merge of three": (_set("model", "merges", 3, to=["a", "b", "c"]), "merge 3 is"),
    "merge of numbers": (_set("model", "merges", 3, to=[1, 2]), "merge 3 is"),
    "merge without a space": (_set("model", "merges", 3, to="ab"), "merge 3 is 'ab'"),
    "merge of unknown tokens": (_set("model", "merges", 0, to=["qq", "zz"]), "bad.json: merge 0, 'qq' + 'zz'"),
    "merge lost": (lambda data: data["model"]["merges"].pop(0), "neither a byte nor made by an earlier merge"),
    "merge twice": (lambda d: d["model"]["merges"].append(d["model"]["merges"][0]), "made by an earlier merge already"),
    "same id twice": (_set("model", "vocab", "Ġa", to=5), "the id 5 is given to both"),
    "negative id": (_set("model", "vocab", "Ġa", to=-1), "has the id -1"),
    "id a string": (_set("model", "vocab", "Ġa", to="7"), "has the id '7'"),
    "id a truth value": (_set("model", "vocab", "Ġa", to=True), "has the id True"),
    "id a fraction": (_set("model", "vocab", "Ġa", to=7.0), "has the id 7.0"),
    "huge id": (_set("model", "vocab", "Ġa", to=10**12), "has the id 1000000000000"),
    "a byte without token": (
        _drop("model", "vocab", "Ā"),
        "lacks 'Ā'; byte-level BPE needs a token for each of the 256",
    ),
    "special that a merge makes": (
        lambda d: d["added_tokens"].append({"id": d["model"]["vocab"]["Ġa"], "content": "Ġa", "special": True}),
        "the result is a special token",
    ),
    "special with another id": (_set("added_tokens", 0, "id", to=3), "'[PAD]' has the id 3"),
    "special without id": (_drop("added_tokens", 0, "id"), "added_tokens 0: id is missing; it must be a whole number"),
    "empty special": (_set("added_tokens", 0, "content", to=""), "added_tokens 0: content is empty"),
    "single_word a string": (
        _set("added_tokens", 0, "single_word", to="yes"),
        "added_tokens 0: single_word is 'yes'; it must be true or false",
    ),
    "added with an id that is not the next": (
        lambda d: d["added_tokens"].append({"id": 5000, "content": "new", "special": False}),
        "added_tokens 4: 'new' has the id 5000, but 314 in the vocabulary",
    ),
    "cut from the left": (_set("truncation", to={"direction": "Left"}), "direction 'Left' is not implemented"),
    "padded on the left": (_set("padding", to={"direction": "Left"}), "padding: direction 'Left' is not implemented"),
    "added_tokens a number": (_set("added_tokens", to=3), "added_tokens is 3; it must be a list"),
    "template with other ids": (
        _set("post_processor", "special_tokens", "[CLS]", "ids", to=[9]),
        "'[CLS]' has the ids [9], in the vocabulary 1",
    ),
    "template without the text": (_set("post_processor", "single", to=[]), "single must have the texts A"),
    "template with an unknown item": (
        _set("post_processor", "single", 0, to={"What": 1}),
        "post_processor: single 0: SpecialToken is missing; it must be an object",
    ),
    "a Sequence within a Sequence": (
        _set("post_processor", to={"type": "Sequence", "processors": [{"type": "Sequence", "processors": []}]}),
        "post_processor: processors 0: type 'Sequence' is not implemented; accepted: none, TemplateProcessing",
    ),
    "half of a surrogate pair": (_set("model", "vocab", "\ud83d", to=999), r"'\ud83d' holds half of a surrogate pair"),
    "the same in a special": (
        lambda d: d["added_tokens"].append({"content": "[\ud83d]", "id": 314, "special": True}),
        r"bad.json: the token '[\ud83d]' holds half of a surrogate",
    ),
    "special with the id of another": (
        lambda d: d["added_tokens"].append({"id": 5, "content": "[NEW]", "special": True}),
        "'[NEW]' has the id 5, but 314 in the vocabulary",
    ),
    "padding token unknown": (_set("padding", to={"pad_token": "[NO]"}), "'[NO]' is not in the vocabulary"),
    "prefix space a string": (
        _set("pre_tokenizer", "add_prefix_space", to="no"),
        "pre_tokenizer: add_prefix_space is 'no'; it must be true or false",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_one_line_that_names_the_damage(saved, tmp_path, damage):
    change, message = DAMAGE[damage]
    change(saved)
    path = write(tmp_path / "bad.json", saved)
    with pytest.raises(InputError) as error:
        load_tokenizer(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[1, 2]", r"bad.json holds \[1, 2\]; it must be an object"),
        ("null", "bad.json holds None; it must be an object"),
        ("[" * 10_000_000, "nested too deeply"),
        ('{"a":' * 2_000_000, "nested too deeply"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}}', "the key 'a' occurs twice"),
        ('{"model": "BPE"}', "model is 'BPE'; it must be an object"),
        (
            '{"model": {"vocab": [["a", -1.5]], "type": "BPE"}}',
            r"model: vocab is \[\['a', -1.5\]\]; it must be an object",
        ),
    ],
    ids=["empty", "cut off", "list", "null", "10 MB of lists", "10 MB of objects", "key twice", "string", "unigram"],
)
def test_what_is_no_tokenizer_file_at_all_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        load_tokenizer(write(tmp_path / "bad.json", text))
    assert len(str(error.value)) < 300 + len(str(tmp_path))


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "bad.json").write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"bad.json: not UTF-8 at byte 2; save it as UTF-8"):
        load_tokenizer(tmp_path / "bad.json")


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_refused(bpe, tmp_path):
    bpe.save(tmp_path / "t.json")
    (tmp_path / "t.json").chmod(0)
    with pytest.raises(InputError, match="Permission denied; expected a readable file"):
        load_tokenizer(tmp_path / "t.json")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"vocab.txt": "a\nb\na\n"}, "line 3 repeats the token 'a' of line 1"),
        ({"vocab.txt": "a\nb\n"}, r"the special token '\[CLS\]' is not in the vocabulary"),
        ({"vocab.txt": "[CLS]\n[SEP]\n"}, r"lacks '\[UNK\]'"),
        ({"vocab.json": "{}", "merges.txt": ""}, "the vocabulary is empty"),
        ({"vocab.json": "[]", "merges.txt": ""}, r"vocab.json holds \[\]; it must be an object"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "#version\nabc"}, "merge 0 is 'abc'"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "#version\n"}, "needs a token for each of the 256 bytes"),
        (
            {"vocab.txt": "[UNK]", "tokenizer_config.json": "[]"},
            r"tokenizer_config.json holds \[\]; it must be an object",
        ),
        ({"vocab.json": '{"a": 0}'}, "holds no tokenizer.json"),
    ],
)
def test_damaged_older_files_are_refused(tmp_path, files, message):
    for name, text in files.items():
        write(tmp_path / name, text)
    with pytest.raises(InputError, match=message):
        load_tokenizer(tmp_path)


def test_a_wordpiece_file_with_other_parts_is_refused(tmp_path):
    theirs = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    theirs.pre_tokenizer = pre_tokenizers.Whitespace()
    theirs.save(str(tmp_path / "t.json"))
    with pytest.raises(InputError, match="pre_tokenizer 'Whitespace' is not implemented; accepted: BertPreTokenizer"):
        load_tokenizer(tmp_path / "t.json")
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    theirs.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()])
    theirs.save(str(tmp_path / "t.json"))
    with pytest.raises(InputError, match="normalizer 'Sequence' is not implemented; accepted: BertNormalizer, none"):
        load_tokenizer(tmp_path / "t.json")
    theirs.normalizer = None
    theirs.save(str(tmp_path / "t.json"))
    with_none = Tokenizer.from_file(str(tmp_path / "t.json"))
    for text in ("a A á \u200ba", "a\x85a\x1ca"):
        assert load_tokenizer(tmp_path / "t.json").encode(text) == with_none.encode(text).ids
