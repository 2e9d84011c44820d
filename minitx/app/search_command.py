"""`minitx search`: the texts of a file, or of many, that are near a query; of many, one part is in memory at a time."""

import argparse
import os
import sys
from pathlib import Path

from minitx.app.embed import load_vectors, of_encoder
from minitx.app.parts import find_parts
from minitx.data.texts import read_texts
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.search import SIMILARITIES, semantic_search
from minitx.terminal import json_line, shown


def search(a: argparse.Namespace) -> None:
    """`minitx search`; `InputError` if the vectors are of other texts or by another model."""
    several = bool(a.vectors) and os.path.isdir(a.vectors)
    if a.vectors and not os.path.exists(a.vectors):
        raise InputError(f"{a.vectors}: no such file or directory; `minitx embed` makes one")
    encoder = SentenceEncoder.from_pretrained(a.model)
    asked, document = encoder.encode(a.query, encoder.of_role("query")), encoder.of_role("document")
    score, model = SIMILARITIES[encoder.similarity_fn_name], of_encoder(encoder) if a.vectors else {}
    parts = find_parts(a.corpus) if several else {"": a.corpus}
    best, count, left_out = list[tuple[float, str, int, str]](), 0, 0
    for name, file in parts.items():
        texts = read_texts(file, a.text, a.encoding, empty=several)
        path = Path(a.vectors, f"{name}.npy") if several else a.vectors
        corpus = load_vectors(path, encoder, texts, model) if path else encoder.encode(texts, document)
        blank = {row for row, text in enumerate(texts) if not text.strip()}  # which a model puts near to short queries
        found = semantic_search(asked, corpus, top_k=a.top_k + len(blank), score_function=score)[0]
        rows = [(hit["score"], int(hit["corpus_id"])) for hit in found if hit["corpus_id"] not in blank]
        best += [(by, file.name if several else "", row, texts[row]) for by, row in rows]
        best = sorted(best, key=lambda hit: -hit[0])[: a.top_k]  # of equal ones the first stays first
        count, left_out = count + len(texts), left_out + len(blank)
        del texts  # before the next part is read
    if left_out:
        print(f"note: {left_out:,} of {count:,} texts are blank and left out", file=sys.stderr)
    for by, part, row, text in best:
        if a.format == "json":
            print(json_line({**({"part": part} if part else {}), "corpus_id": row, "score": by, "text": text}))
        else:
            print(shown(f"{by:.3f}  {part}{row:>6}  {text}"))
