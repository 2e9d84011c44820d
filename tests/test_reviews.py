"""Reading, labelling and splitting: every way a file can be bad, counts that add up, splits that do not leak."""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from minitx.data.labelled import read_labelled
from minitx.data.reviews import ENGAGEMENT, SENTIMENT, LabelRule, label_reviews, read_reviews
from minitx.data.split import LabelledTexts, Split, group_rows, normalise, split
from minitx.data.texts import read_texts
from minitx.errors import InputError

REAL = Path(__file__).parents[1] / ".." / "shared" / "data" / "netflix_reviews.csv"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="the real reviews are not at hand")

HEADER = "reviewId,content,score,thumbsUpCount\n"
TWO_ROWS = "a,fine,5,0\nb,poor,1,20\n"


def written(folder: Path, content: str | bytes, name: str = "reviews.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- files that are refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty file; expected a CSV with a header line"),
        ("\n\n", "empty file; expected a CSV with a header line"),
        (HEADER, "a header but no rows"),
        ("id,content,stars\n1,fine,5\n", "no column score, thumbsUpCount; the header has id, content, stars"),
        (
            "content^score^thumbsUpCount\nfine^5^0\n",
            "no column .*; the header has content.score.thumbsUpCount",
        ),
        ("content,score,score,thumbsUpCount\na,5,5,0\n", "more than one column named score; names must be unique"),
        (
            "content,score,thumbsUpCount\n\n  ,5,0\nx,9,0\n",
            "no usable row among 2 .1 dropped: content missing or blank,",
        ),
        (
            HEADER + 'a,fine,5,0\nb,"open,5,0\nc,fine,5,0\n',
            "from line 3 on: unexpected end of data; is a quote left open",
        ),
        ('content,"score\n', "from line 1 on: unexpected end of data"),
        (HEADER.encode() + b"a,caf\xe9,5,0\n", "not UTF-8 at byte 42; save it as UTF-8"),
        (b"\xef\xbb\xbf" + HEADER.encode() + b"a,caf\xe9,5,0\n", "not UTF-8 at byte 45"),
        (HEADER.encode() + b"a,fine,5,0\n" * 30_000 + b"\xff", "not UTF-8 at byte 330,037"),
        (HEADER.encode("utf-16"), "a header but no rows"),
    ],
)
def test_unusable_file_is_refused_in_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read_reviews(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_reviews, read_texts, lambda path: read_labelled(path, "text", {"a": "b"})])
def test_missing_file_and_directory(tmp_path: Path, read) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: No such file or directory; expected a readable file"):
        read(tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv: Is a directory; expected a readable file"):
        read(tmp_path / "folder.csv")


# --- rows that are dropped and counted -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c,more,5", "too few fields"),
        ("c,more,5,0,9", "too many fields"),
        ('c,"more"less,5,0', "bad quoting"),
        ("c,,5,0", "content missing or blank"),
        ('c," \t\n ",5,0', "content missing or blank"),
        ("c,more,five,0", "score missing or not an integer"),
        ("c,more,3.5,0", "score missing or not an integer"),
        ("c,more,nan,0", "score missing or not an integer"),
        ("c,more,,0", "score missing or not an integer"),
        ("c,more,9,0", "score above 5"),
        ("c,more,0,0", "score below 1"),
        ("c,more,5,", "thumbsUpCount missing or not an integer"),
        ("c,more,5,-1", "thumbsUpCount below 0"),
        ("c,more,5,9223372036854775808", "thumbsUpCount above 9223372036854775807"),
        ("c,more,5," + "9" * 400, "thumbsUpCount above 9223372036854775807"),
        ("c,,five,-1", "content missing or blank"),  # once, under the first reason
    ],
)
def test_unusable_row_is_dropped_and_counted(tmp_path: Path, row: str, reason: str) -> None:
    data, audit = read_reviews(written(tmp_path, HEADER + "a,fine,5,0\n" + row + "\nb,poor,1,20\n"))
    assert data.texts == ["fine", "poor"]
    assert audit.dropped == {reason: 1}
    assert (audit.read, audit.kept) == (3, 2)


CELLS = st.sampled_from(["1", "3", "5", "9", "", "five", "-1", "7", "3000000000", "9" * 30, "3.5", " 4 ", "2.0"])
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=12)


@given(ROWS)
def test_audit_adds_up(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    lines = [",".join(row) for row in rows]
    path = written(tmp_path_factory.mktemp("audit"), HEADER + "a,fine,5,0\n" + "\n".join(lines))
    data, audit = read_reviews(path)
    assert audit.read == 1 + sum(line != "" for line in lines)
    assert audit.read == audit.kept + sum(audit.dropped.values())
    assert audit.kept == len(data) == len(data.ids) == len(data.labels["sentiment"])
    assert all(count > 0 for count in audit.dropped.values())


def test_audit_prints_and_serialises(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + TWO_ROWS + "c,,5,0\n" * 1200 + "d,x,six,0\n")
    _, audit = read_reviews(path)
    assert str(audit).splitlines() == [
        f"{path}: 1,203 rows read, 2 kept",
        "  1,200 dropped: content missing or blank",
        "  1 dropped: score missing or not an integer",
    ]
    assert json.loads(json.dumps(dataclasses.asdict(audit)))["dropped"]["content missing or blank"] == 1200


# --- rows that are kept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["None", "NA", "null", "nan", "N/A", "NULL", "-", "0", " padded ", "nul\0byte", "\u2028"]
)
def test_text_is_kept_as_written(tmp_path: Path, text: str) -> None:
    if not text.strip():
        text = f"a{text}b"  # a line separator of Unicode does not end a row
    data, audit = read_reviews(written(tmp_path, HEADER + f"a,{text},5,0\nb,poor,1,0\n"))
    assert data.texts == [text, "poor"]
    assert audit.dropped == {}


def test_quotes_newlines_bom_blank_lines_and_extra_columns(tmp_path: Path) -> None:
    content = '\ufeffcontent,extra,score,extra,thumbsUpCount\r\n\r\n"two\nlines, ""quoted""",x,3,y,7\r\n\r\nlast,,1,,13'
    data, audit = read_reviews(written(tmp_path, content))
    assert data.texts == ['two\nlines, "quoted"', "last"]
    assert {head: labels.tolist() for head, labels in data.labels.items()} == {
        "sentiment": [1, 0],
        "engagement": [1, 2],
    }
    assert audit.read == audit.kept == 2


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (SENTIMENT, v, c)
        for v, c in zip("12345", ("negative", "negative", "neutral", "positive", "positive"), strict=True)
    ]
    + [(ENGAGEMENT, v, "low") for v in ("0", "6", "6.0", " 6 ", "+6", 6, 6.0, np.int16(6))]
    + [(ENGAGEMENT, v, "moderate") for v in ("7", "12", 12)]
    + [(ENGAGEMENT, v, "high") for v in ("13", "32768", "3000000000", 3e9, "9223372036854775807", 2**63 - 1)],
)
def test_class_boundaries(rule: LabelRule, value: object, expected: str) -> None:
    frame = pd.DataFrame({"content": ["x"], rule.column: pd.Series([value], dtype=object)})
    data, _ = label_reviews(frame, [rule])
    labels = data.labels[rule.name]
    assert data.classes[rule.name][labels[0]] == expected
    assert labels.dtype == np.int64


@pytest.mark.parametrize("upper", [(2,), (3, 2), (2, 2), (1, 2, 3)])
def test_rule_with_unusable_bounds(upper: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="rule mood: bounds"):
        LabelRule("mood", "score", ("a", "b", "c"), upper)


def test_frame_without_rows() -> None:
    with pytest.raises(InputError, match="frame: no usable row among 0"):
        label_reviews(pd.DataFrame({"content": [], "score": [], "thumbsUpCount": []}))


# --- any labelled CSV ------------------------------------------------------------------------------------------------

TICKETS = "body,team,urgent\nlogin fails,web,yes\ninvoice wrong,NA,no\n,web,no\nslow page,,no\nno sound, web ,yes\n"


def test_read_labelled_finds_heads_and_classes(tmp_path: Path) -> None:
    data, audit = read_labelled(written(tmp_path, TICKETS), "body", {"team": "team", "priority": "urgent"})
    assert data.texts == ["login fails", "invoice wrong", "slow page", "no sound"]
    assert data.classes == {"team": ("NA", "web"), "priority": ("no", "yes")}
    assert data.labels["team"].tolist() == [1, 0, -100, 1]  # a row without one label keeps its other
    assert data.labels["priority"].tolist() == [1, 0, 0, 1]
    assert data.class_counts("team").tolist() == [1, 2]
    assert audit.dropped == {"body missing or blank": 1}
    assert audit.unlabelled == {"team": 1}
    assert "1 kept without a label for team" in str(audit)


def test_a_row_without_any_label_is_dropped(tmp_path: Path) -> None:
    _, audit = read_labelled(written(tmp_path, TICKETS), "body", {"team": "team"})
    assert (audit.kept, audit.unlabelled) == (3, {})
    assert audit.dropped == {"body missing or blank": 1, "no label for team": 1}


def test_read_labelled_with_the_classes_of_a_model(tmp_path: Path) -> None:
    path = written(tmp_path, TICKETS)
    data, audit = read_labelled(path, "body", {"team": "team"}, classes={"team": ("app", "web"), "other": ("x", "y")})
    assert data.texts == ["login fails", "no sound"]
    assert data.labels["team"].tolist() == [1, 1]
    assert audit.dropped["no label for team"] == 2
    assert audit.unknown == {"team": "labels of team that are none of its classes: 1, as 'NA'; it knows app, web"}
    assert audit.unknown["team"] in str(audit)
    with pytest.raises(InputError, match="labels group; expected team"):
        read_labelled(path, "body", {"group": "team"}, classes={"team": ("app", "web")})


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("body,team\na,\nb, \n", {"team": "team"}, "no usable row among 2"),
        (TICKETS, {"team": "squad"}, "no column squad; the header has body, team, urgent"),
        (TICKETS, {}, "labels missing; expected at least one"),
    ],
)
def test_read_labelled_refuses(tmp_path: Path, content: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labelled(written(tmp_path, content), "body", columns)


# --- texts to embed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "column", "expected"),
    [
        ("a.txt", "one\r\n\r\n two \nlast", None, ["one", "", " two ", "last"]),
        ("a.csv", "content,text\nc1,t1\n,t2\n", None, ["c1", ""]),
        ("a.CSV", "id,text\n1,t1\n2,NA\n", None, ["t1", "NA"]),
        ("a.csv", "content,title\nc1,t1\n", "title", ["t1"]),
    ],
)
def test_read_texts(tmp_path: Path, name: str, content: str, column: str | None, expected: list[str]) -> None:
    assert read_texts(written(tmp_path, content, name), column) == expected


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.txt", "", None, "empty file; expected one text a line"),
        ("a.txt", "one", "content", "expected one of .csv .* or a .txt with one text a line"),
        ("a.json", "[]", None, "no column content or text; the header has "),
        ("a.docx", "one", None, "expected one of .csv .* or a .txt"),
        ("a.csv", "title\nx\n", None, "no column content or text; the header has title"),
        ("a.csv", "content,b\nx,1\ny\nz,1\n", None, "a.csv: row 2 has too few fields"),
        ("a.txt", b"ok\n\xff\n", None, "not UTF-8 at byte 3"),
    ],
)
def test_read_texts_refuses(tmp_path: Path, name: str, content: str | bytes, column: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_texts(written(tmp_path, content, name), column)


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Good!", " good ", True),
        ("STRASSE", "straße", True),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full\twidth", True),
        ("it’s ok...", "its ok", True),
        ("ok 👍", "ok 👎", False),
        ("!!!", "...", False),
        ("can not", "cannot", False),
    ],
)
def test_normalise(first: str, second: str, same: bool) -> None:
    assert (normalise(first) == normalise(second)) is same


def test_groups_chain_through_texts_and_ids_by_hand() -> None:
    groups = group_rows(["x", "y", "x", "z", "w", "z"], ["1", "2", "2", None, None, "3"])
    assert groups.tolist() == [0, 0, 0, 1, 2, 1]


KEYS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.integers(0, 8)), min_size=1, max_size=30)


@given(KEYS)
def test_groups_are_the_connected_components(rows: list[tuple[str, int | None]]) -> None:
    groups = group_rows([text for text, _ in rows], [key for _, key in rows])
    reach = np.array([[a[0] == b[0] or (a[1] is not None and a[1] == b[1]) for b in rows] for a in rows])
    for _ in rows:  # the transitive closure, by brute force
        reach = reach @ reach
    np.testing.assert_array_equal(groups[:, None] == groups, reach)


def test_blank_ids_do_not_group(tmp_path: Path) -> None:
    data, _ = read_reviews(written(tmp_path, HEADER + ",one,5,0\n,two,1,0\n ,three,3,0\nx,four,3,0\nx,five,3,0\n"))
    assert data.ids == [None, None, None, "x", "x"]
    assert group_rows(data.texts, data.ids).tolist() == [0, 1, 2, 3, 3]


# --- splits ----------------------------------------------------------------------------------------------------------


def labelled(labels: list[int], groups: list[int] | None = None, classes: int = 2) -> LabelledTexts:
    texts = [f"text {row}" for row in range(len(labels))]
    names = tuple(f"class {c}" for c in range(classes))
    ids = [None] * len(labels) if groups is None else [str(group) for group in groups]
    return LabelledTexts(texts, {"head": np.array(labels)}, {"head": names}, ids)


def sides_of(parts: Split) -> dict[str, int]:
    return {text: side for side, part in enumerate(parts) for text in part.texts}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # which measures the machine
@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(0, 40), st.integers(0, 2)), min_size=40))
def test_split_never_leaks_and_loses_nothing(rows: list[tuple[str, int, int]]) -> None:
    frame = pd.DataFrame(
        {
            "content": [text * (1 + key % 3) + str(row) * (key > 9) for row, (text, key, _) in enumerate(rows)],
            "reviewId": [str(key) for _, key, _ in rows],
            "score": [1 + 2 * label for _, _, label in rows],
        }
    )
    data, _ = label_reviews(frame, [SENTIMENT])
    try:
        parts = split(data, seed=len(rows))
    except InputError:  # one class, or too few groups to fill three sides
        assert len(np.unique(data.labels["sentiment"])) < 2 or len(set(group_rows(data.texts, data.ids))) < 20
        return
    together = [*zip(data.texts, data.ids, data.labels["sentiment"].tolist(), strict=True)]
    apart = [row for part in parts for row in zip(part.texts, part.ids, part.labels["sentiment"].tolist(), strict=True)]
    assert sorted(apart) == sorted(together)
    seen = defaultdict(set)
    for side, part in enumerate(parts):
        for text, identity in zip(part.texts, part.ids, strict=True):
            seen["text " + normalise(text)].add(side)
            seen["id " + identity].add(side)
    assert all(len(sides) == 1 for sides in seen.values())


def test_split_keeps_texts_labels_and_groups_together() -> None:
    data = labelled([row % 2 for row in range(200)], [row // 2 for row in range(200)])
    for part in split(data):
        rows = np.array([int(text.split()[1]) for text in part.texts])
        np.testing.assert_array_equal(part.labels["head"], rows % 2)
        assert part.ids == [str(row // 2) for row in rows]
        assert part.classes == data.classes


def test_split_is_a_function_of_the_seed() -> None:
    data = labelled([row % 2 for row in range(300)])
    assert sides_of(split(data, seed=1)) == sides_of(split(data, seed=1))
    assert sides_of(split(data, seed=1)) != sides_of(split(data, seed=2))


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.2), (0.5, 0.25, 0.25), (0.1, 0.1, 0.8)])
@pytest.mark.parametrize("seed", range(3))
def test_split_without_shared_texts_is_stratified_to_the_row(fractions: tuple[float, float, float], seed: int) -> None:
    counts = (700, 45, 13)
    data = labelled([c for c, count in enumerate(counts) for _ in range(count)], classes=3)
    for part, fraction in zip(split(data, fractions, seed), fractions, strict=True):
        np.testing.assert_allclose(part.class_counts("head"), fraction * np.array(counts), atol=1.7)


def test_split_where_every_row_is_its_own_combination_of_labels() -> None:
    data = labelled(list(range(100)), classes=100)
    assert [len(part) for part in split(data)] == pytest.approx([70, 10, 20], abs=1)


def test_first_row_of_a_rare_class_is_not_always_in_train() -> None:
    """Of three rows train needs 2.1, so the first one dealt must go there; which one that is, is random."""
    data = labelled([1, 1, 1] + [0] * 97)
    assert {sides_of(split(data, seed=seed))["text 0"] for seed in range(40)} == {0, 1, 2}


def where_group_0_lands(size: int, seeds: int = 100) -> np.ndarray:
    data = labelled([row % 2 for row in range(1000)], [0] * size + list(range(1, 1001 - size)))
    landed = []
    for seed in range(seeds):
        parts = split(data, seed=seed)
        assert [len(part) for part in parts] == pytest.approx([700, 100, 200], abs=2)
        landed.append(sides_of(parts)["text 0"])
    return np.bincount(landed, minlength=3) / seeds


def test_repeated_texts_go_to_every_side_over_the_seeds() -> None:
    """Greedy dealing would send the largest group to the neediest side, train, each time."""
    np.testing.assert_allclose(where_group_0_lands(size=5), [0.7, 0.1, 0.2], atol=0.12)


@pytest.mark.parametrize(("size", "sides"), [(5, {0, 1, 2}), (8, {0, 2}), (30, {0}), (400, {0})])
def test_no_group_makes_up_much_of_a_side(size: int, sides: set[int]) -> None:
    assert set(np.flatnonzero(where_group_0_lands(size, seeds=40)).tolist()) == sides


def test_split_of_a_split() -> None:
    train = split(labelled([row % 2 for row in range(300)], [row // 3 for row in range(300)])).train
    again = split(train, (0.5, 0.25, 0.25))
    assert sum(map(len, again)) == len(train)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (labelled([0, 0], classes=1), r"2 rows with 1 of the 1 classes of head \(class 0\); at least 2 classes"),
        (labelled([1, 1, 1, 1]), r"4 rows with 1 of the 2 classes of head \(class 1\); at least 2 classes"),
        (labelled([0, 1], classes=3), "2 rows with 2 of the 3 classes of head .*; .* no fewer rows than classes"),
        (labelled([0, 1]), "nothing left for"),
        (labelled([0, 1] * 50, [0] * 100), "nothing left for .*: 100 rows in 1 groups of shared texts or ids"),
    ],
)
def test_split_refuses(data: LabelledTexts, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(data)


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.0, 0.2), (0.7, 0.2, 0.2), (1.2, -0.4, 0.2)])
def test_split_refuses_fractions(fractions: tuple) -> None:
    with pytest.raises(InputError, match="three positive numbers that add up to 1"):
        split(labelled([0, 1] * 20), fractions)


# --- the real reviews ------------------------------------------------------------------------------------------------


@needs_real
def test_real_reviews_measured() -> None:
    data, audit = read_reviews(REAL)
    assert (audit.read, audit.kept, audit.dropped) == (5999, 5997, {"content missing or blank": 2})
    texts = pd.Series(data.texts)
    assert texts.duplicated().mean() == pytest.approx(0.165, abs=0.001)
    assert data.class_counts("sentiment").tolist() == [3018, 398, 2581]
    assert data.class_counts("engagement").tolist() == [5683, 84, 230]
    assert len(set(group_rows(data.texts, data.ids))) < texts.nunique()


@needs_real
@pytest.mark.parametrize("seed", range(3))
def test_real_split_is_leak_free_and_stratified(seed: int) -> None:
    data, _ = read_reviews(REAL)
    parts = split(data, seed=seed)
    for part, fraction in zip(parts, (0.7, 0.1, 0.2), strict=True):
        assert len(part) == pytest.approx(fraction * len(data), abs=3)
        for head in data.labels:
            np.testing.assert_allclose(part.class_counts(head), fraction * data.class_counts(head), atol=8)
    texts = [{normalise(text) for text in part.texts} for part in parts]
    assert sum(map(len, texts)) == len(set.union(*texts))
