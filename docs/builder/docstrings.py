"""A Griffe extension: docstrings are turned into Markdown, and names of this package in them become links."""

import contextlib
from typing import Any

import griffe
from builder.plain_text import markdown


class PlainText(griffe.Extension):
    """Rewrites every docstring, once the package is loaded."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """See `griffe.Extension`."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value, lambda name: target(name, obj, loader))


def target(name: str, obj: griffe.Object, loader: griffe.GriffeLoader) -> str | None:
    """The full name of the module, class or function that `name` means in the docstring of `obj`, if it has a page."""
    if name in getattr(obj, "parameters", ()):
        return None
    first, _, rest = name.partition(".")
    candidates = [f"{obj.package.path}.{name}"]
    if not rest or first[:1].isupper():  # `functional.relu` alone may be torch's
        with contextlib.suppress(griffe.NameResolutionError):
            candidates.append(f"{obj.resolve(first)}.{rest}".rstrip("."))
    for candidate in candidates:
        try:
            found = loader.modules_collection.get_member(candidate)
            found = found.final_target if found.is_alias else found
        except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
            continue
        if found.has_docstring and found.is_public and found is not obj and found.package is obj.package:
            return found.canonical_path if "." in name or not found.parent.is_class else None
    return None
