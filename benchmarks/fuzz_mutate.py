"""Damage to files: JSON, TOML and safetensors as their structure allows, lines of text, and plain bytes.

Every mutator takes a `random.Random`, the content of a file and other valid contents of it, and returns new content.
`mutate` chooses one by the file's suffix; to teach it another format, add a function to `STRUCTURED`.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random

Span = tuple[str, int, int, int]  # "key", "value" or "item" (a member or an element), its depth, where it is

STRINGS = ["", "x", "../elsewhere", "/etc/passwd", "C:\\\\x", "\\u0000", "\\ud800", "\\udc00\\ud800", "\\u202e", "\\n"]
STRINGS += ["\\u001b[31m", "\U0001f642", "e\u0301", "##", "[PAD]", "</s>", ".*", "(a+)+$", "a" * 100_000, "é" * 300]
NUMBERS = ["0", "-0", "1", "-1", "2", "7", "0.5", "-0.0", "1e-400", "1e308", "1e400", "-1e400", "NaN", "Infinity"]
NUMBERS += [
    "-Infinity",
    "100000000",
    "1000000000000",
    "1e12",
    "2147483648",
    "9223372036854775807",
    "18446744073709551616",
]
NUMBERS += ["1114111", "1114112", "55296", "1" * 400, "1" * 5000, "0." + "1" * 400, "-" + "9" * 400, "1e5000"]
OTHERS = [
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[null]",
    '{"":null}',
    "[[]]",
    "[0,0]",
    '["a","b"]',
    "[" + "0," * 999 + "0]",
]
ODD = [*(f'"{string}"' for string in STRINGS), *NUMBERS, *OTHERS]
DEPTHS = (1, 2, 50, 990, 3000, 100_000)
ODD_BYTES = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    b"\x1b[31m",
    b"\r\n",
    b"\n",
    b"\r",
    b'"',
]
ODD_BYTES += [b"[" * 3000, b"\xc3", "\u2028".encode(), "\U0001f642".encode(), b" ", b"\t", b",", b"{", b"}", b"\x1a"]
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[^\s,\]}]+")
_SPACE = re.compile(r"[\s:,]*")


@lru_cache(maxsize=256)
def spans(text: str) -> dict[int, list[Span]]:
    """Depth -> the keys, values and items of valid JSON there."""
    found: dict[int, list[Span]] = {}

    def value(at: int, depth: int) -> int:
        at = start = _SPACE.match(text, at).end()
        if text[at] in "{[":
            close, at = "}" if text[at] == "{" else "]", _SPACE.match(text, at + 1).end()
            while text[at] != close:
                item = at
                if close == "}":
                    at = _STRING.match(text, at).end()
                    found.setdefault(depth + 1, []).append(("key", depth + 1, item, at))
                at = value(at, depth + 1)
                found.setdefault(depth + 1, []).append(("item", depth + 1, item, at))
                at = _SPACE.match(text, at).end()
            at += 1
        else:
            at = (_STRING if text[at] == '"' else _SCALAR).match(text, at).end()
        found.setdefault(depth, []).append(("value", depth, start, at))
        return at

    value(0, 0)
    return found


def edit_json(rng: Random, text: str) -> str:
    """One change to valid JSON: another kind, an absurd number, a key deleted, doubled or renamed, deep nesting ..."""
    places = spans(text)

    def pick(*kinds: str) -> Span | None:  # by depth first: a vocabulary would else get nearly all of the changes
        level = [span for span in places[rng.choice(list(places))] if span[0] in kinds]
        return rng.choice(level) if level else None

    span = pick("key", "value", "item")
    if span is None:
        return text
    kind, _, start, end = span
    old = text[start:end]
    if kind == "key":
        other = pick("key")
        new = text[other[2] : other[3]] if other and rng.random() < 0.5 else f'"{rng.choice(STRINGS)}"'
    elif kind == "item":
        if rng.random() < 0.5:  # deleted, with the comma after it or the one before
            after = re.compile(r"\s*,").match(text, end)
            before = re.search(r",\s*$", text[max(0, start - 50) : start])
            start, end = (start, after.end()) if after else (start - (len(before[0]) if before else 0), end)
            new = ""
        else:
            other = pick("item") if rng.random() < 0.5 else None
            new = f"{old},{text[other[2] : other[3]] if other else old}"
    else:
        choice = rng.randrange(5)
        if choice == 0 and (other := pick("value")):
            new = text[other[2] : other[3]]
        elif choice == 1:
            deep = rng.choice(DEPTHS)
            opening, closing = ("[", "]") if rng.random() < 0.5 else ('{"a":', "}")
            new = opening * deep + old + closing * deep
        elif choice == 2 and old.startswith('"'):
            at = rng.randrange(1, len(old))
            new = old[:at] + rng.choice(STRINGS) + old[at:]
            new = new if _STRING.fullmatch(new) else old
        elif choice == 3 and re.fullmatch(r"-?\d{1,15}", old):
            new = str(int(old) + rng.choice((1, -1, 2, -2, 8, 256, -256)) * rng.choice((1, 1, 10)))
        else:
            new = rng.choice(ODD)
    return text[:start] + new + text[end:]


def mutate_json(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    text = data.decode()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        try:
            text = edit_json(rng, text)
        except (AttributeError, IndexError, RecursionError):  # no longer JSON, or too deep to look into
            break
    return text.encode("utf-8", "surrogatepass")


def mutate_toml(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Values after "=" and lines, changed."""
    lines = data.decode().split("\n")
    at = rng.randrange(len(lines))
    name, equals, _ = lines[at].partition("=")
    choice = rng.randrange(6)
    if equals and choice < 4:
        value = rng.choice([*ODD, "nan", "inf", "-inf", "1979-05-27", "0x" + "f" * 400, "'''", "[" * 3000, "{a=1}"])
        lines[at] = f"{name}= {value}"
    elif choice == 4:
        lines.insert(rng.randrange(len(lines)), lines[at])
    else:
        lines[at] = rng.choice(
            ["", f"[{name.strip()}]", f"[[{name.strip()}]]", f"a.{lines[at]}", lines[at][: len(name)]]
        )
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def mutate_lines(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Lines deleted, doubled, moved or broken."""
    lines = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        choice = rng.randrange(5)
        if choice == 0 and len(lines) > 1:
            del lines[at]
        elif choice == 1:
            lines.insert(rng.randrange(len(lines)), lines[at])
        elif choice == 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif choice == 3:
            cut = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + rng.choice(ODD_BYTES) + lines[at][cut:]
        else:
            lines[at] = rng.choice([b"", b" ", rng.choice(STRINGS).encode(), rng.choice(NUMBERS).encode()])
    return b"\n".join(lines)


def mutate_safetensors(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The header changed as JSON, with the length that goes with it; or the length; or the numbers."""
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    choice = rng.randrange(8)
    if choice < 5:
        header = mutate_json(rng, header, others)
        return len(header).to_bytes(8, "little") + header + body
    if choice == 5:
        absurd = rng.choice([0, 1, length - 1, length + 1, len(data), len(data) - 8, 2**31, 2**40, 2**63, 2**64 - 1])
        return absurd.to_bytes(8, "little") + data[8:]
    return data[: 8 + length] + mutate_bytes(rng, body, [])


def mutate_bytes(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Bits flipped, bytes set, blocks cut out, inserted, doubled or moved; two files spliced; truncation."""
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 64, 1000))
        choice, block = rng.randrange(9), data[at : at + length]
        if choice == 0 and block:
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif choice == 1 and block:
            data = data[:at] + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))]) + data[at + 1 :]
        elif choice == 2:
            data = data[:at] + data[at + length :]
        elif choice == 3:
            data = data[:at] + rng.randbytes(length) + data[at:]
        elif choice == 4:
            data = data[:at] + block * rng.choice((2, 3, 10)) + data[at + length :]
        elif choice == 5:
            to = rng.randrange(len(data) + 1)
            data = data[:to] + block + data[to:]
        elif choice == 6 and others:
            other = rng.choice(others)
            data = data[:at] + other[rng.randrange(len(other) + 1) :]
        elif choice == 7:
            data = data[:at] + rng.choice(ODD_BYTES) + data[at:]
        elif rng.random() < 0.3:
            data = data[:at]
    return data


STRUCTURED: dict[str, Callable[[Random, bytes, Sequence[bytes]], bytes]] = {
    ".json": mutate_json,
    ".toml": mutate_toml,
    ".safetensors": mutate_safetensors,
    ".txt": mutate_lines,
    ".csv": mutate_lines,
}


def mutate(rng: Random, suffix: str, data: bytes, others: Sequence[bytes]) -> bytes:
    """A mutant of `data`: three in four as the structure of such a file allows, else as bytes."""
    structured = STRUCTURED.get(suffix)
    if structured and rng.random() < 0.75:
        try:
            return structured(rng, data, others)
        except (ValueError, ArithmeticError, LookupError, AttributeError, RecursionError):
            pass  # a mutant of a mutant may be beyond its format
    return mutate_bytes(rng, data, others)
