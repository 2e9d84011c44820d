"""What may go to a terminal: a text from the user's data can neither move the cursor, nor forge a line, nor hide one.

Everything that is printed and may hold such a text (reviews, names of classes, columns and files) goes through `shown`,
and through `json_line` where a program is to read it.
"""

import json
import re
import sys
from typing import Any

# Control characters, separators of lines, marks that turn around what follows, and what no output can encode: halves of
# surrogate pairs, with which Python spells a file name that is not UTF-8. What joins emoji and letters is left alone.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """A text as one line for the eye, with what is unsafe spelt as in Python.

    >>> shown("fine 👍🏽\\x1b[2J\\n9.99  a forged line")
    'fine 👍🏽\\\\x1b[2J\\\\n9.99  a forged line'
    """
    return _UNSAFE.sub(lambda unsafe: repr(unsafe[0])[1:-1], text)


def json_line(value: Any) -> str:
    """A value as one line of JSON that loses nothing.

    >>> json_line({"text": "né\\x9b\\n"})
    '{"text": "né\\\\u009b\\\\n"}'
    """
    text = json.dumps(value, ensure_ascii=not (sys.stdout.encoding or "utf-8").lower().startswith("utf"))
    return _UNSAFE.sub(lambda unsafe: f"\\u{ord(unsafe[0]):04x}", text)
