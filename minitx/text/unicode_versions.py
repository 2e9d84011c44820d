"""Which characters are letters, accents, punctuation? It depends on the year, and ids must not.

Unicode grows. The `tokenizers` library splits text by the tables of Unicode 16 for byte-level BPE and of Unicode 8 for
BERT, and orders the marks of a letter by those of Unicode 9; the `regex` package knows those of its own release. A
character that is a letter to one and an unassigned code to the other is split differently, and a model gets ids it was
not trained with. So the newer characters are taken out of the classes here. The tables were found by asking both
libraries about every code point; a range may span characters that matter to neither.
"""

import regex

_AFTER_UNICODE_16 = """
558 58B-58C 88F C5C CDC 208F 209D-209F A7CE-A7CF A7D2 A7D4 A7DD-A7F1 AB6C-AB6D 107BB-107BF 10940-10959 10EC5-10EEE
11B0A 11DB0-11DF1 1246F-1247F 12550-12686 16EA0-16ED3 16FF2-16FF6 187F8-187FF 18CD6-18CDA 18D09-191D2 1B123-1B128
1B168 1D6A6 1DF1F-1DF24 1DF2B-1DFFF 1E6C0-1E6FF 2B73A-2B73F 2B81E 2CEA2-2CEAD 323B0-3FC3F"""

_AFTER_UNICODE_8 = """
5C8-5C9 61D 7FD 890-8E2 9FD-9FE A76 AFA-AFF B53-B55 C04-C3C C77 C84 D00 D3B-D3C D81 EBA ECE 180F-1886 1ABF-1AF0
1B4E-1B4F 1B7D-1B7F 1DF6-1DFB 2E43-2E63 A82C A8C5 A8FF A9BD 10D24-10F89 11070-11074 110C2-110CD 111C9 111CF
1123E-11241 1133B 113BB-1145E 11660-1166C 116B9 1182F-11FFF 12FF1-1612F 16D6D-16F4F 16FE2-16FE4 1CF00-1D128
1D25B-1D25C 1E000-1E6F5 1E944-1E95F"""

_MARKS_OF_UNICODE_9 = """
8D4-8E1 1DFB 11442 11446 11C3F 1E000-1E006 1E008-1E018 1E01B-1E021 1E023-1E024 1E026-1E02A 1E944-1E94A"""


def _set(table: str) -> str:
    """A table as a set of a regular expression: "58B-58C 88F" -> "[\\U0000058B-\\U0000058C\\U0000088F]"."""
    ranges = ("-".join(rf"\U{int(end, 16):08X}" for end in item.split("-")) for item in table.split())
    return f"[{''.join(ranges)}]"


def compile_unicode_16(pattern: str) -> regex.Pattern[str]:
    r"""Compile a pattern in which \p{L} and \p{N} mean the letters and numbers of Unicode 16."""
    for name in (r"\p{L}", r"\p{N}"):
        pattern = pattern.replace(name, f"[{name}--{_set(_AFTER_UNICODE_16)}]")
    return regex.compile(pattern, regex.V1)


# BERT's classes. The single characters were of that class in Unicode 8 and have been moved to another since.
_NEW = _set(_AFTER_UNICODE_8)
CONTROL = regex.compile(rf"[[\0\uFFFD\p{{Cc}}\p{{Cf}}\p{{Co}}]--[\t\n\r]--{_NEW}]", regex.V1)
ACCENT = regex.compile(rf"[[\p{{Mn}}--{_NEW}]\u1734\U0001171E]", regex.V1)
PUNCTUATION = rf"[[!-/:-@\[-`{{-~]\u166D\U000111C9[\p{{P}}--{_NEW}]]"
# Marks that the library does not know as such, and so leaves where they are. Three of them are of no other interest.
LATER_MARK = regex.compile(rf"[[{_NEW}\u1715\U00016FF0\U00016FF1]--{_set(_MARKS_OF_UNICODE_9)}]", regex.V1)
# Letters that the library does not know as a letter and a mark: it neither takes them apart nor puts them together.
LATER_PAIR = regex.compile(_set("105C9 105E4 11383-11391 113C5-113C8 11938 16121-16128 16D68-16D6A"), regex.V1)
