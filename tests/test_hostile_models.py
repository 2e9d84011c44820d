"""Model directories that nobody wrote in good faith: refused in one line that prints, before they cost anything."""

import json
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from benchmarks.fuzz_readers import PIECES, write_model
from minitx.errors import InputError
from minitx.models import weights
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import find_directory
from minitx.system import MOST_BYTES, Fields, brief, open_text, read_json
from minitx.text.load import load_tokenizer

SURROGATE, ESCAPE = "\ud800", "\x1b[31m\n"
DIGITS, DEEP = "1" * 400, "[" * 3000 + "]" * 3000
pytestmark = pytest.mark.filterwarnings("ignore::minitx.text.truncation.TruncationWarning")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "good"
    write_model(path)
    return path


@pytest.fixture
def model(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")


def within_seconds(work, most=20.0):
    """The exception of `work()` or None; a failure, not a hang, if it never ends."""
    raised = []

    def run():
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(most)
    assert not thread.is_alive(), "it does not end"
    return raised[0] if raised else None


def refused(path, *parts):
    error = within_seconds(lambda: SentenceEncoder.from_pretrained(path))
    assert isinstance(error, InputError), repr(error)
    said = str(error).replace(str(path), "")
    for part in parts:
        assert part in said
    assert said.isprintable()
    assert len(said) < 600
    return said


def accepted(path, good):
    text = "it 's great"
    np.testing.assert_array_equal(
        SentenceEncoder.from_pretrained(path).encode(text), SentenceEncoder.from_pretrained(good).encode(text)
    )


def put(path: Path, key: str, raw: str) -> None:
    """Set a key of a JSON file to a value as it is spelt."""
    data = json.loads(path.read_text(encoding="utf-8")) | {key: "@@"}
    path.write_text(json.dumps(data).replace('"@@"', raw), encoding="utf-8")


# -- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "key", "raw", "message"),
    [
        ("config.json", "model_type", "[]", "config.json: model_type is []; it must be text"),
        ("config.json", "layer_norm_eps", DIGITS, "layer_norm_eps is 1111"),
        ("config.json", "layer_norm_eps", "1" * 5000, "config.json is not JSON: Exceeds the limit"),
        ("config.json", "layer_norm_eps", "1e400", "layer_norm_eps is inf; it must be a number below 1e+40"),
        ("config.json", "layer_norm_eps", "NaN", "config.json is not JSON: it has no NaN"),
        ("config.json", "layer_norm_eps", "0", "layer_norm_eps must be in [1e-30, 1), not 0"),
        ("config.json", "layer_norm_eps", "1e-60", "layer_norm_eps must be in [1e-30, 1), not 1e-60"),
        ("config.json", "hidden_dropout_prob", DIGITS, "hidden_dropout_prob is 1111"),
        ("config.json", "nobody_reads_this", "NaN", "config.json is not JSON: it has no NaN"),
        ("config.json", "nobody_reads_this", "-Infinity", "config.json is not JSON: it has no -Infinity"),
        ("config.json", "nobody_reads_this", DEEP, "config.json: nested too deeply"),
        ("config.json", "hidden_size", DIGITS, "hidden_size is 1111"),
        ("config.json", "num_attention_heads", "-" + DIGITS, "num_attention_heads is -1111"),
        ("config.json", "pad_token_id", DIGITS, "pad_token_id is 1111"),
        ("config.json", "vocab_size", "100000000", "config.json asks for 800,000,576"),
        ("config.json", "num_hidden_layers", "1000000000000", "config.json asks for"),
        ("config.json", "max_position_embeddings", "100000000", "config.json asks for"),
        ("config.json", "type_vocab_size", "100000000", "config.json asks for (100000000, 8)"),
        ("config.json", "model_type", json.dumps(ESCAPE), r"model_type '\x1b[31m\n' is not implemented"),
        ("config.json", "model_type", json.dumps(SURROGATE), r"model_type '\ud800' is not implemented"),
        ("config.json", "hidden_act", json.dumps("x" * 10**6), "unknown activation"),
        ("sentence_bert_config.json", "max_seq_length", DIGITS, "max_seq_length is 1111"),
        ("tokenizer_config.json", "model_max_length", "1e400", "model_max_length is inf"),
        ("1_Pooling/config.json", "pooling_mode", '{"a": []}', "pooling [{'a': []}] is not implemented"),
        ("config_sentence_transformers.json", "similarity_fn_name", "[[]]", "similarity_fn_name [[]] is not"),
    ],
)
def test_an_absurd_value_is_refused_by_file_and_key(model, file, key, raw, message):
    put(model / file, key, raw)
    refused(model, message)


def test_without_a_type_the_classes_are_a_list_of_names(model):
    put(model / "config.json", "model_type", "null")
    put(model / "config.json", "architectures", "5")
    refused(model, "config.json: architectures is 5; it must be a list")
    put(model / "config.json", "architectures", f"[5, {'[' * 400 + ']' * 400}]")
    refused(model, "config.json: model_type None is not implemented")


def test_no_limit_as_transformers_spells_it_is_no_limit(model, good):
    put(model / "tokenizer_config.json", "model_max_length", "1000000000000000019884624838656")
    accepted(model, good)


def test_a_list_in_place_of_a_modules_file(model):
    (model / "1_Pooling" / "config.json").write_text("[1]", encoding="utf-8")
    refused(model, "1_Pooling/config.json holds [1]; it must be an object")


def test_a_value_is_quoted_in_one_short_line():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    for value in (nested, "\x1b" * 10**6, {"\n" * 99: [SURROGATE] * 99}, int("9" * 4000), [list(range(10**6))] * 9):
        assert brief(value).isprintable()
        assert len(brief(value)) <= 90
    while nested:  # a hundred thousand lists, freed one by one: not all at once, in one recursion
        nested = nested.pop()


def test_one_key_twice_among_very_many_is_found_at_once(tmp_path):
    keys = ",".join(f'"{i}":0' for i in [*range(50_000), 49_999])
    (tmp_path / "x.json").write_text(f"{{{keys}}}", encoding="utf-8")
    start = time.process_time()
    with pytest.raises(InputError, match="the key '49999' occurs twice"):
        read_json(tmp_path / "x.json")
    assert time.process_time() - start < 5  # counting each key anew took a minute


def test_numbers_that_no_float_holds_are_no_numbers():
    for value in (10**400, -(10**400), float("inf"), float("-inf"), float("nan"), 2e40):
        for kind in (int, float):
            with pytest.raises(InputError, match="f: x is "):
                Fields({"x": value}, "f").get("x", kind)
    assert Fields({"x": -(10**39)}, "f").get("x", int) == -(10**39)


# -- names in modules.json -------------------------------------------------------------------------------------------


def point(model, kind, path):
    entries = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    for entry in entries:
        if entry["type"].endswith(kind):
            entry["path"] = path
    (model / "modules.json").write_text(json.dumps(entries), encoding="utf-8")


OUTSIDE = [
    "../elsewhere",
    "1_Pooling/../../elsewhere",
    "..",
    "ELSEWHERE",
    "..\\elsewhere",
    "C:\\x",
    "C:x",
    "\\\\host\\x",
]


@pytest.mark.parametrize("kind", ["Transformer", "Pooling"])
@pytest.mark.parametrize("name", [*OUTSIDE, "a\0b", SURROGATE, "a\nb"])
def test_a_module_is_in_its_directory(model, good, kind, name):
    shutil.copytree(good if kind == "Transformer" else good / "1_Pooling", model.parent / "elsewhere")
    point(model, kind, name.replace("ELSEWHERE", str(model.parent / "elsewhere")))
    refused(model, "modules.json: modules ", "path is ", "it must be a folder of the model directory")


def test_a_modules_path_may_be_of_another_kind_or_too_long(model):
    point(model, "Pooling", ["1_Pooling"])
    refused(model, "modules.json: modules 1: path is ['1_Pooling']; it must be text")
    point(model, "Pooling", "a" * 10_000)
    with pytest.raises(InputError, match="File name too long"):
        SentenceEncoder.from_pretrained(model)


@pytest.mark.parametrize("name", ["1_Pooling/", "./1_Pooling", "Päckchen 1"])
def test_a_folder_inside_has_any_other_name(model, good, name):
    if not (model / name).exists():
        (model / "1_Pooling").rename(model / name)
    point(model, "Pooling", name)
    accepted(model, good)


# -- what stands in the place of a file -------------------------------------------------------------------------------

FILES = ["config.json", "model.safetensors", "modules.json", "tokenizer.json", "tokenizer_config.json"]
FILES += ["1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json"]
posix = pytest.mark.skipif(os.name == "nt", reason="links, pipes and devices of POSIX")


@posix
def test_links_are_followed_since_the_cache_of_hugging_face_is_made_of_them(model, good, tmp_path):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for i, name in enumerate(FILES):
        (model / name).rename(blobs / str(i))
        (model / name).symlink_to(os.path.relpath(blobs / str(i), (model / name).parent))
    accepted(model, good)


@posix
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "socket", "loop", "broken link"])
def test_what_is_no_file_is_refused_by_name(model, name, kind, monkeypatch):
    path = model / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        monkeypatch.chdir(path.parent)  # a socket's path has at most 108 bytes
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(path.name)
    else:
        path.symlink_to(path if kind == "loop" else "nowhere")
    refused(model, name)


def test_vocab_txt_and_merges_may_not_be_pipes_either(model, tmp_path):
    (model / "tokenizer.json").unlink()
    os.mkfifo(model / "vocab.txt")
    refused(model, "vocab.txt is a pipe or a device; expected a regular file")
    (model / "vocab.txt").unlink()
    (model / "vocab.json").write_text('{"a": 0}', encoding="utf-8")
    os.mkfifo(model / "merges.txt")
    refused(model, "merges.txt is a pipe or a device; expected a regular file")


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("json")])
def test_a_file_that_is_read_whole_has_a_bounded_size(model, name):
    with (model / name).open("wb") as file:
        file.truncate(10**12)  # no blocks are written
    refused(model, f"{name} has 1,000,000,000,000 bytes; accepted are at most {MOST_BYTES:,}")


def test_memory_that_is_not_there_is_one_line(model, monkeypatch):
    def exhausted(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("json.loads", exhausted)
    refused(model, "modules.json: too big")


@posix
def test_a_directory_whose_name_is_not_utf8_is_read_and_its_faults_print(model, good):
    odd = Path(os.fsdecode(os.fsencode(model) + b"-\xff"))
    model.rename(odd)
    accepted(odd, good)
    (odd / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json is not JSON"):
        SentenceEncoder.from_pretrained(odd)


@pytest.mark.parametrize("name", ["a\0b", "x" + SURROGATE, "a" * 10_000, "/" + "a" * 10_000, ESCAPE])
def test_a_name_of_a_model_that_no_system_has(name):
    with pytest.raises(InputError, match="is not a directory") as error:
        find_directory(name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["a\0b", "x" + SURROGATE])
def test_a_file_name_that_no_system_has(name):
    with pytest.raises(InputError, match="expected a readable file"), open_text(name):
        pass


def test_a_revision_in_the_cache_is_a_name_and_no_path(model, tmp_path, monkeypatch):
    folder = tmp_path / "hub" / "models--sentence-transformers--tiny"
    (folder / "refs").mkdir(parents=True)
    (folder / "snapshots").mkdir()
    (folder / "refs" / "main").write_text(f"../../../../{model.name}", encoding="utf-8")
    assert (folder / "snapshots" / f"../../../{model.name}").is_dir()
    (folder / "refs" / "main").write_text(f"../../../{model.name}", encoding="utf-8")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="is not in"):
        find_directory("tiny")


# -- weights ---------------------------------------------------------------------------------------------------------


def edit_header(model, change):
    path = model / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])


def edit_weights(model, change, dtype=np.float32):
    path = model / "model.safetensors"
    weights = {name: array.astype(dtype) for name, array in safetensors.numpy.load_file(path).items()}
    change(weights)
    safetensors.numpy.save_file(weights, path)


def test_no_metadata_is_no_metadata(model, good):
    edit_header(model, lambda header: header.update(__metadata__=None))
    accepted(model, good)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.update(__metadata__=[]),
        lambda header: header["embeddings.LayerNorm.bias"].update(shape=[8.0]),
        lambda header: header["embeddings.LayerNorm.bias"].update(shape=[0, 2**63]),
        lambda header: header["embeddings.LayerNorm.bias"].update(data_offsets=[0, 2**63]),
        lambda header: header["embeddings.LayerNorm.bias"].update(dtype=ESCAPE * 1000),
    ],
    ids=["metadata", "fraction", "empty and endless", "offsets", "dtype"],
)
def test_a_header_that_is_none_is_refused(model, change):
    edit_header(model, change)
    refused(model, "model.safetensors is not a complete safetensors file: ")


def test_an_empty_tensor_of_absurd_shape_is_refused(model):
    def change(header):
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        header["x"] = {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [end, end]}

    edit_header(model, change)
    refused(model, "model.safetensors")


def test_a_tensors_name_cannot_control_the_terminal(model):
    edit_weights(model, lambda weights: weights.update({ESCAPE: np.zeros(1, np.float32)}))
    refused(model, r"unexpected \x1b[31m\n")


def test_a_header_has_a_bounded_size_and_is_not_read_beyond(model, monkeypatch):
    path = model / "model.safetensors"
    data, length = path.read_bytes(), weights.MOST_HEADER + 1
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little"))
        file.truncate(length + len(data))
    monkeypatch.setattr(safetensors, "safe_open", None)  # so it was not called
    refused(model, "a header of 10,485,761 bytes, where at most 10,485,760 are accepted")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -1e20, 65505.0])
@pytest.mark.parametrize("tensor", ["embeddings.LayerNorm.bias", "embeddings.token_type_embeddings.weight"])
def test_a_weight_that_cannot_be_computed_with_is_refused_by_name(model, tensor, value):
    edit_weights(model, lambda weights: weights[tensor].__setitem__(..., value))
    refused(model, f"model.safetensors: {tensor} holds {np.float32(value):g}; accepted: at most 65504")


def test_weights_of_other_types_are_held_to_the_same(model):
    edit_weights(model, lambda weights: weights["embeddings.LayerNorm.bias"].fill(1e300), np.float64)
    refused(model, "embeddings.LayerNorm.bias holds inf")
    edit_weights(model, lambda weights: weights["embeddings.LayerNorm.bias"].fill(np.nan), np.float64)
    edit_weights(model, lambda weights: None, np.float16)
    refused(model, "embeddings.LayerNorm.bias holds nan")


def test_float16s_largest_weight_is_a_weight(model):
    edit_weights(model, lambda weights: weights["embeddings.LayerNorm.bias"].fill(65504))
    assert np.isfinite(SentenceEncoder.from_pretrained(model).encode("it")).all()


def test_pickled_weights_are_named_and_not_read(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    refused(model, "it has pytorch_model.bin, which can run code when read; convert it to safetensors")


def test_code_in_a_model_directory_is_not_run(model, good):
    for name in ("__init__.py", "modeling.py", "tokenizer.py", "1_Pooling/__init__.py", "sitecustomize.py"):
        (model / name).write_text("raise SystemExit('code of the model was run')", encoding="utf-8")
    put(model / "config.json", "auto_map", '{"AutoModel": "modeling.Model"}')
    accepted(model, good)


# -- tokenizers ------------------------------------------------------------------------------------------------------


def damaged(model, change):
    path = model / "tokenizer.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    error = within_seconds(lambda: load_tokenizer(path))
    assert isinstance(error, InputError), repr(error)
    assert str(error).isprintable()
    assert len(str(error)) < 400
    return str(error)


def special(content, id, **others):
    return {"content": content, "id": id, "special": True} | others


RUNAWAY = {"Regex": "(a+)+$"}
LONG = "a" * 1001
BYTE_LEVEL = {"normalizer": None, "decoder": {"type": "ByteLevel"}}
BYTE_LEVEL |= {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}
TOKENIZERS = {
    "normalizer": (
        lambda t: t.update(normalizer={"type": "Replace", "pattern": RUNAWAY, "content": ""}),
        "normalizer 'Replace' is not implemented",
    ),
    "pre_tokenizer": (
        lambda t: t.update(pre_tokenizer={"type": "Split", "pattern": RUNAWAY}),
        "pre_tokenizer 'Split' is not implemented",
    ),
    "vocab a list": (lambda t: t["model"].update(vocab=[["a", 0.5]]), "vocab is [['a', 0.5]]; it must be an object"),
    "id of 400 digits": (lambda t: t["model"]["vocab"].update(z=int(DIGITS)), "'z' has the id 1111"),
    "id a list": (lambda t: t["model"]["vocab"].update(z=[1]), "'z' has the id [1]"),
    "token not to be written": (lambda t: t["model"]["vocab"].update({SURROGATE: 15}), "half of a surrogate pair"),
    "merges of numbers": (
        lambda t: t.update(BYTE_LEVEL | {"model": {"vocab": {"a": 0}, "merges": [[1, 2]]}}, added_tokens=[]),
        'merge 0 is [1, 2]; a merge is ["a", "b"] or "a b"',
    ),
    "added a list": (lambda t: t["added_tokens"].append(special(["a"], 15)), "content is ['a']; it must be text"),
    "added, id taken": (lambda t: t["added_tokens"].append(special("new", 4)), "'new' has the id 4, but 15 in"),
    "added, other id": (lambda t: t["added_tokens"].append(special("un", 99)), "'un' has the id 99, but 4"),
    "added, vocabulary odd": (
        lambda t: (t["model"]["vocab"].update(z=ESCAPE * 99), t["added_tokens"].append(special("z", 15))),
        r"'z' has the id 15, but '\x1b[31m\n",
    ),
    "added twice": (
        lambda t: t["added_tokens"].append(special("[CLS]", 2, lstrip=True)),
        "added_tokens has '[CLS]' twice",
    ),
    "added, too many": (
        lambda t: t["added_tokens"].extend(special(f"<{i}>", i) for i in range(100, 10_100)),
        "10,004 added_tokens of",
    ),
    "added, too long": (lambda t: t["added_tokens"].append(special("x" * 500_000, 15)), "5 added_tokens of 500,020"),
    "words and tokens long": (
        lambda t: (t["model"]["vocab"].update({LONG: 15}), t["model"].update(max_input_chars_per_word=10**9)),
        "max_input_chars_per_word is 1000000000, and a token has 1,001 characters; one of them must be at most 1,000",
    ),
    "role unknown": (
        lambda t: t["post_processor"]["single"][0]["SpecialToken"].update(id=ESCAPE * 99),
        r"post_processor: special_tokens: \x1b[31m\n",
    ),
    "role of no tokens": (
        lambda t: (
            t["post_processor"]["single"][0]["SpecialToken"].update(id=ESCAPE),
            t["post_processor"]["special_tokens"].update({ESCAPE: {}}),
        ),
        r"special_tokens: \x1b[31m\n: ids is missing",
    ),
    "decoder deep": (lambda t: t.update(decoder=json.loads("[" * 400 + "]" * 400)), "decoder is [[[[[[[...]]]]]]]"),
}


@pytest.mark.parametrize("damage", TOKENIZERS)
def test_a_hostile_tokenizer_is_refused(model, damage):
    change, message = TOKENIZERS[damage]
    assert message in damaged(model, change)


def test_either_long_words_or_long_tokens_may_be(model):
    path = model / "tokenizer.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["model"]["max_input_chars_per_word"] = 10**9
    path.write_text(json.dumps(data), encoding="utf-8")
    assert load_tokenizer(path).encode("un" + "a" * 5000, add_special_tokens=False)[:2] == [PIECES.index("un"), 7]
    data["model"]["max_input_chars_per_word"] = 100
    data["model"]["vocab"][LONG] = 15
    path.write_text(json.dumps(data), encoding="utf-8")
    assert load_tokenizer(path).vocab_size == 16
