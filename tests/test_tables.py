"""Rows from what people have: other separators, JSON lines, parquet, Excel, gzip, other encodings, directories."""

import bz2
import gzip
import json
import lzma
import pickle
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from minitx.data.reviews import read_reviews
from minitx.data.tables import data_files, open_table, read_table
from minitx.data.texts import read_texts
from minitx.errors import InputError

COLUMNS = ["id", "content", "score"]
ROWS = [["1", "fine; really, é\t😡", "5"], ["007", 'two\n"lines"', "1"], ["", "None", ""]]
FRAME = pd.DataFrame(ROWS, columns=COLUMNS, dtype=object)


def written(folder: Path, name: str, **how) -> Path:
    """The rows in a file of the kind that its name ends in."""
    path, stem = folder / name, name.removesuffix(".gz")
    if stem.endswith((".jsonl", ".json")):
        lines = [json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in ROWS]
        text = "\n".join(lines) + "\n" if stem.endswith("l") else "[\n" + ",\n".join(lines) + "]"
        path.write_bytes(gzip.compress(text.encode()) if name != stem else text.encode())
    elif stem.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        FRAME.to_parquet(path, index=False)
    elif stem.endswith(".xlsx"):
        pytest.importorskip("openpyxl")
        FRAME.to_excel(path, index=False)
    else:
        FRAME.to_csv(path, index=False, **{"sep": "\t" if stem.endswith(".tsv") else ",", **how})
    return path


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.csv", {}),
        ("a.csv", {"encoding": "utf-8-sig"}),
        ("a.csv", {"sep": ";"}),
        ("a.csv", {"sep": "\t"}),
        ("a.csv", {"sep": ";", "quoting": 1}),
        ("a.csv", {"encoding": "utf-16"}),
        ("a.tsv", {"encoding": "utf-16"}),
        ("a.csv", {"lineterminator": "\r\n"}),
        *((name, {}) for name in ("a.tsv", "a.csv.gz", "a.tsv.gz", "A.CSV.GZ", "a.jsonl", "a.jsonl.gz", "a.json")),
        *((name, {}) for name in ("a.parquet", "a.xlsx")),
    ],
)
def test_the_same_rows_whatever_the_file(tmp_path, name, how):
    path = written(tmp_path, name, **how)
    frame, audit = read_table(path, COLUMNS)
    assert frame.to_numpy().tolist() == ROWS
    assert (audit.read, audit.dropped) == (3, {})
    assert read_texts(path) == [row[1] for row in ROWS]
    assert read_texts(path, "id") == ["1", "007", ""]


def test_a_file_is_what_it_holds_whatever_it_is_called(tmp_path):
    pytest.importorskip("pyarrow")
    for name in ("a.parquet", "a.jsonl", "a.csv.gz"):
        path = written(tmp_path, name).rename(tmp_path / "b.csv")
        assert read_table(path, COLUMNS)[0].to_numpy().tolist() == ROWS


def test_an_encoding_is_named_and_nothing_else_is_guessed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("content\ncafé €\n".encode("cp1252"))
    assert read_texts(path, None, "cp1252") == ["café €"]
    with pytest.raises(InputError, match="not UTF-8 at byte 11; save it as UTF-8, or say its --encoding, as in cp1252"):
        read_texts(path)
    with pytest.raises(InputError, match="not ascii at byte 11"):
        read_texts(path, None, "ascii")
    with pytest.raises(InputError, match="unknown encoding 'cp1522'; did you mean cp"):
        read_texts(path, None, "cp1522")
    with pytest.raises(InputError, match="unknown encoding 'rot13'"):
        read_texts(path, None, "rot13")
    (tmp_path / "a.txt").write_bytes("one\ncafé\n".encode("utf-16"))
    assert read_texts(tmp_path / "a.txt") == ["one", "café"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("content\na; b\n", [["a; b"]]),  # one column, and semicolons in its texts
        ("id,notes; misc; other\n1,x\n", [["1", "x"]]),
        ('"a;b",c\n1;2,3\n', [["1;2", "3"]]),
        ("a;b, c\n1;2\n", [["1", "2"]]),
        ("a,b\nragged\n1,2\n", [["ragged"], ["1", "2"]]),
        ("a;b\n", []),
    ],
)
def test_the_comma_separates_wherever_it_did_before(tmp_path, text, found):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with open_table(tmp_path / "a.csv") as (_, rows):
        assert [row for row, _ in rows] == found


def test_json_values_are_cells_and_a_key_may_come_late(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = ['{"content": "a", "tags": ["x"]}', "", '{"content": null, "score": 5}', '{"score": 4.5, "ok": true}']
    path.write_text("\n".join(lines), encoding="utf-8")
    with open_table(path) as (header, rows):
        assert header == ["content", "tags (lists or objects)", "score", "ok"]
        assert [row for row, _ in rows] == [["a", '["x"]', "", ""], ["", "", "5", ""], ["", "", "4.5", "True"]]
    with pytest.raises(InputError, match=r"column tags; the header has content, tags \(lists or objects\), score, ok"):
        read_table(path, ["tags"])


@pytest.mark.parametrize("start", ["", "sep=|\n", "sep=;\r\n"])
def test_a_bar_separates_and_excel_may_say_what_does(tmp_path, start):
    mark = start[4:5] or "|"
    path = tmp_path / "a.csv"
    path.write_text(f"{start}id{mark}content\n1{mark}a, b\n2{mark}c\n", encoding="utf-8")
    assert read_table(path, ["content"])[0]["content"].tolist() == ["a, b", "c"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bz2.compress(b"content\na\n"), "bzip2"),
        (lzma.compress(b"content\na\n"), "xz"),
        (pickle.dumps(["a"]), "pickle"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_a_kind_of_file_that_is_not_read_is_named(tmp_path, data, kind):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(InputError, match=rf"a.csv is of the kind {kind}; accepted are .csv .tsv .*, each also as .gz"):
        read_table(tmp_path / "a.csv", ["content"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"content": "a"}\n{"content": \n', "a.jsonl: line 2 is not JSON: Expecting value"),
        ("a.jsonl", '{"content": "a"}\n5\n', "a.jsonl: line 2 is 5; expected objects, one on each line"),
        ("a.json", "[[1]]", "no column content"),  # neither objects nor a CSV
        ("a.csv", '"content" x,b\na,b\n', "the header has text behind a closing quote"),
        ("a.csv.gz", gzip.compress(b"content\n" + b"a" * 99, mtime=0)[:-9], "a damaged .gz: "),
        (
            "a.csv",
            b"PK\x03\x04 and no more",
            "is a damaged Excel file, or none: |is of the kind Excel: `pip install openp",
        ),
        (
            "a.csv",
            b"PAR1 and no more",
            "is a damaged parquet file, or none: |is of the kind parquet: `pip install pyarrow",
        ),
        (
            "a.csv",
            "Content,b\na,b\n",
            "content or text; the header has Content, b; did you mean --text Content?",
        ),
        (
            "a.csv",
            "title,b\na,b\n",
            "or text; the header has title, b; choose the column of texts with --text",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        read_texts(tmp_path / name)


def test_a_package_that_is_missing_is_named_with_a_command_that_works(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"a\.parquet is of the kind parquet: `pip install pyarrow` lets"):
        read_texts(tmp_path / "a.parquet")


def test_what_is_no_review_file_is_told_how_to_name_its_columns(tmp_path):
    (tmp_path / "tickets.csv").write_text("message,team\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="of what is no review file, name the columns: --text COLUMN --label NAME=COL"):
        read_reviews(tmp_path / "tickets.csv")
    with pytest.raises(InputError, match="no column ' message'; the header has message, team; did you mean message"):
        read_table(tmp_path / "tickets.csv", [" message"])


def test_an_excel_file_of_several_sheets_is_refused_by_their_names(tmp_path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        FRAME.to_excel(book, sheet_name="2023", index=False)
        pd.DataFrame().to_excel(book, sheet_name="empty", index=False)
    assert len(read_texts(tmp_path / "a.xlsx")) == 3
    with pd.ExcelWriter(tmp_path / "b.xlsx") as book:
        FRAME.to_excel(book, sheet_name="2023", index=False)
        FRAME.to_excel(book, sheet_name="2024", index=False)
    with pytest.raises(InputError, match="has the sheets 2023, 2024: save the one that is meant"):
        read_texts(tmp_path / "b.xlsx")


# --- directories -----------------------------------------------------------------------------------------------------


def test_a_directory_of_the_hubs_layout(tmp_path):
    (tmp_path / "data").mkdir()
    for shard, text in enumerate(("a", "b")):
        path = tmp_path / "data" / f"train-0000{shard}-of-00002.csv"
        path.write_text(f"content,score\n{text},5\n", encoding="utf-8")
    assert read_texts(tmp_path) == ["a", "b"]
    (tmp_path / "data" / "test-00000-of-00001.csv").write_text("content,score\nc,5\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("no data", encoding="utf-8")
    assert (read_texts(tmp_path / "train"), read_texts(tmp_path / "test")) == (["a", "b"], ["c"])
    with pytest.raises(InputError, match=r"holds test\.csv, train\.csv: choose one, as in .*test"):
        read_texts(tmp_path)
    (tmp_path / "data" / "train-00001-of-00002.csv").write_text("content\nb\n", encoding="utf-8")
    with pytest.raises(InputError, match="its files have different columns"):
        read_texts(tmp_path / "train")
    with pytest.raises(InputError, match=r"nothing: no such file of texts"):
        read_texts(tmp_path / "nothing")


def test_a_directory_that_datasets_saved(tmp_path):
    """As `save_to_disk` writes it, labels with their names."""
    pa = pytest.importorskip("pyarrow")
    features = {"content": {"_type": "Value"}, "score": {"_type": "ClassLabel", "names": ["bad", "good"]}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "state.json").write_text("{}", encoding="utf-8")
        table = pa.table({"content": ["a", None, "c"], "score": [1, None, 0]}).replace_schema_metadata(metadata)
        path = tmp_path / split / "data-00000-of-00001.arrow"
        with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}', encoding="utf-8")
    frame, _ = read_table(tmp_path / "train", ["content", "score"])
    assert frame.to_numpy().tolist() == [["a", "good"], ["", ""], ["c", "bad"]]
    assert len(data_files(tmp_path / "train")) == 1
    with pytest.raises(InputError, match=r"holds test, train: choose one, as in .*test"):
        read_table(tmp_path, ["content"])


def test_a_zip_archive_is_no_workbook(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as archive:
        archive.writestr("a.csv", "content\na\n")
    with pytest.raises(InputError, match=r"a.csv is a zip archive, but not an .xlsx: give what is inside"):
        read_table(tmp_path / "a.csv", ["content"])


def test_what_is_no_file_at_all_is_named(tmp_path):
    for name in ("https://example.com/a.csv", "https://example.com/a.csv?raw=1", "hf://a/b.csv"):
        with pytest.raises(InputError, match=f"{re.escape(name)} is an address: download the file, and give its name"):
            read_table(name, ["content"])
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="is the directory of a model; expected a file of texts"):
        read_texts(tmp_path)
