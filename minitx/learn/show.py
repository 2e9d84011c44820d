"""The moving pictures: `minitx show backward|bpe|attention|plan|map` writes one page of HTML, to be stepped through.

Each page has a function here that returns what it shows as plain JSON types, all of it computed by the library itself,
and its markup and script in pages/. A page loads nothing. A text may hold any markup and is still text: the data keeps
no character that could end a script, and the scripts put texts on the page as text alone.
"""

import ast
import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from minitx.app.experiment import train
from minitx.app.prepare import prepare
from minitx.app.settings import experiment_of, read_recipe
from minitx.app.timeline import by_layer
from minitx.autograd.context import Watcher, inference, watching
from minitx.autograd.engine import Node, op_name, topological_order
from minitx.autograd.tensor import Tensor
from minitx.data.batches import pad
from minitx.data.samples import synthetic_reviews
from minitx.data.texts import read_texts
from minitx.errors import InputError, suggestion
from minitx.learn.plain import softmax
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import find_directory
from minitx.models.search import normalized, semantic_search
from minitx.system import read_fields
from minitx.text.bpe import BPETokenizer
from minitx.text.load import load_tokenizer
from minitx.text.words import BYTE_SYMBOLS, WORD, to_symbols
from minitx.writing import check_new_file, write_text

PAGES = Path(__file__).parent / "pages"
Data = dict[str, Any]  # what becomes JSON

TEXT = "The new update is great, but the app keeps crashing and support never answers."
MOST_NODES, MOST_STEPS, MOST_WORDS, MOST_TOKENS = 40, 300, 100, 40  # of one page
MOST_COLUMNS, MOST_SENTENCES, MOST_CHARACTERS = 400, 400, 300
PADDING, NEAREST = 6, 6  # tokens behind the text of the attention page; sentences that the map lists for each


def write_page(name: str, model: str | None, text: str | None, out: Path, overwrite: bool = False) -> str:
    """Write the page `name` about a model and a text, each the page's own if None or "", and say where it is.

    Args:
        name: "backward", "bpe", "attention", "plan" or "map".
        model: of bpe, attention and map a model directory, a result directory, or a name on the hub (of bpe also a
            tokenizer.json); of plan a recipe or a result directory; backward has none.
        text: of backward an expression (`evaluate`), which may also stand in the place of the model; of bpe and
            attention any text; of map a .txt or .csv file; plan has none.
        out: a .html file, which is replaced only with `overwrite`, and only by a whole page.

    Raises:
        InputError: the page is unknown, or something given cannot be used.
    """
    if name not in SHOWN:
        raise InputError(f"no page {name!r}: {suggestion(name, list(SHOWN))}")
    check_new_file(out, ".html", overwrite)  # before the work
    page = _page(name, SHOWN[name](model or None, text if text and text.strip() else None))
    write_text(out, page)
    return f"the page is {out}; open it in a browser"


def _page(name: str, data: Data) -> str:
    """The whole file. Its policy allows this style and this script, known by their hashes, and nothing else."""

    def part(*files: str) -> str:
        return "\n".join((PAGES / file).read_text(encoding="utf-8") for file in files)

    def hashed(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    # All of it is ASCII, so neither U+2028 nor an unseen control character; and nothing that could be taken for a tag.
    safe = json.dumps(data, allow_nan=False).translate({ord(char): f"\\u{ord(char):04x}" for char in "<>&"})
    style, script = part("page.css"), part("page.js", f"{name}.js")
    blanks = {"name": name, "body": part(f"{name}.html"), "data": safe, "style": style, "script": script}
    return Template(part("page.html")).substitute(blanks, style_hash=hashed(style), script_hash=hashed(script))


# -- whose model -----------------------------------------------------------------------------------------------------


@cache
def small_encoder() -> SentenceEncoder:
    """What a page shows if no model is named: trained on the spot, the same each time."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "vocab_size": 1000, "max_length": 64}
    rates = {"lr": 3e-3, "head_lr": 3e-3, "dropout": 0.1, "head_dropout": 0.1, "task_gradients": 0}
    job = prepare(experiment_of(sizes, rates, {"epochs": 4, "threads": 1, "train_rows": 1500}), log=lambda line: None)
    train(job, progress=False, log=lambda line: None)
    return job.model.encoder


def _encoder(model: str | None) -> tuple[SentenceEncoder, str]:
    """The encoder of a page, and a sentence about it."""
    if model:
        return SentenceEncoder.from_pretrained(model), f"The encoder is that of {model}."
    return small_encoder(), "The encoder is a small one, trained in a few seconds on built-in synthetic reviews."


# -- backward: a graph, and two ways back through it -----------------------------------------------------------------

EXAMPLES = ["b = a + a; c = b + b", "y = tanh(w * x + b)", "s = w * w; y = tanh(s) * exp(-s)", "y = x + tanh(w * x)"]
VALUES = {"a": 1.0, "b": -0.5, "c": 3.0, "d": -1.0, "w": 0.5, "x": 2.0, "y": -2.0, "z": 0.25}
BINARY = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__"}
FUNCTIONS = ("tanh", "exp", "log")
SYMBOLS = {"leaf": "", "__add__": "+", "__mul__": "×", "__truediv__": "÷", "__pow__": "power"}


def backward_page(model: str | None, text: str | None) -> Data:
    """The expression, if one is given, and the examples; each a graph of the engine's own nodes."""
    if model and text:
        raise InputError("the page backward takes one expression, and no model")
    graphs = [expression_graph(code) for code in [*filter(None, [text or model]), *EXAMPLES]]
    return {"about": "Nodes, values and derivatives are those of minitx's own engine.", "graphs": graphs}


def evaluate(code: str) -> tuple[Tensor, dict[Node, str]]:
    """The result of an expression, and what nodes are called: `y = tanh(w * x + b)`, or several, parted by ";".

    Only + - * / **, tanh, exp, log, numbers and variables are understood; nothing else is run. A variable is what was
    assigned to it before, or one of `VALUES`; a number that is assigned makes a variable of that value.
    """
    names = {name: Tensor(np.float64(number), requires_grad=True) for name, number in VALUES.items()}

    def value(node: ast.AST) -> Tensor:
        match node:
            case ast.Assign([ast.Name(name)], x):
                result = value(x)
                names[name] = result if result.requires_grad else Tensor(result.data, requires_grad=True)
                return names[name]
            case ast.Expr(x):
                return value(x)
            case ast.Constant(int() | float() as number):
                return Tensor(np.float64(number))
            case ast.Name(name) if name in names:
                return names[name]
            case ast.UnaryOp(ast.USub(), x):
                return -value(x)
            case ast.BinOp(x, op, y) if type(op) in BINARY:
                return getattr(value(x), BINARY[type(op)])(value(y))
            case ast.BinOp(x, ast.Pow(), y) if not (exponent := value(y)).requires_grad:
                return value(x) ** exponent.item()
            case ast.Call(ast.Name(name), [x], []) if name in FUNCTIONS:
                return getattr(value(x), name)()
        known = f"numbers, the variables {', '.join(VALUES)}, + - * /, ** with a number, {', '.join(FUNCTIONS)}"
        raise InputError(f"{ast.unparse(node)!r:.60} cannot be shown: expected {known}")

    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by whoever draws it
            *_, result = Tensor(0.0), *map(value, ast.parse(code.strip()).body)
    except (SyntaxError, UnicodeError, OverflowError, RecursionError, MemoryError):
        result = Tensor(0.0)
    if result.is_leaf:
        raise InputError(f"{code!r:.60}: expected an expression of a variable, as in {EXAMPLES[1]!r}")
    return result, {node: name for name, node in reversed(names.items())}  # of two names, the first


def expression_graph(code: str) -> Data:
    """The graph that the engine made of an expression, parents first, and two ways back through it, step by step.

    Walk "order" is the engine's: reverse topological. Walk "naive" goes on from each node as soon as anything arrives.
    """
    root, called = evaluate(code)
    inner = topological_order(root)[::-1]
    # a leaf stands before its first consumer
    nodes = list(dict.fromkeys(n for node in inner for n in (*(p for p in node.parents if p.is_leaf), node)))
    inputs = [(node, slot) for node in inner for slot in range(len(node.parents))]
    number, edge = ({item: i for i, item in enumerate(items)} for items in (nodes, inputs))
    graph: Data = {
        "code": code,
        "names": [called.get(node, "") for node in nodes],
        "ops": [SYMBOLS.get(op, op) for op in (node.op.rpartition(".")[2] for node in nodes)],
        "values": [float(node.data) for node in nodes],
        "edges": [(number[node.parents[slot]], number[node]) for node, slot in inputs],
    }

    def walk(naive: bool) -> list[tuple[int, float, float, float]]:
        """Steps: the number of an edge (-1 to begin with), dy, what the op makes of it, the sum where that arrives."""
        sums, steps = dict[Node, float]({root: 1.0}), [(-1, 1.0, 1.0, 1.0)]

        def pass_on(node: Node) -> None:
            dy = sums[node]
            derivatives = node.backward_fn(np.asarray(dy)) if node.backward_fn and len(steps) <= MOST_STEPS else []
            for slot, (parent, dx) in enumerate(zip(node.parents, derivatives, strict=False)):
                if parent.requires_grad:
                    share = float(dx() if callable(dx) else dx)
                    sums[parent] = sums.get(parent, 0.0) + share
                    steps.append((edge[node, slot], dy, share, sums[parent]))
                    if naive:
                        pass_on(parent)

        for node in [root] if naive else inner[::-1]:
            pass_on(node)
        return steps

    with np.errstate(all="ignore"):
        graph["walks"] = {"order": walk(naive=False), "naive": walk(naive=True)}
        root.backward()
    graph["engine"] = [None if node.grad is None else float(node.grad) for node in nodes]  # of the leaves
    steps = [*graph["walks"]["order"], *graph["walks"]["naive"]]
    if (
        len(nodes) > MOST_NODES
        or len(steps) > MOST_STEPS
        or not np.isfinite([*map(sum, steps), *graph["values"]]).all()
    ):
        raise InputError(f"{code!r:.60}: expected finite numbers, {MOST_NODES} nodes and {MOST_STEPS} steps at most")
    return graph


# -- bpe: merges, word by word ---------------------------------------------------------------------------------------


def bpe_page(model: str | None, text: str | None) -> Data:
    """Every merge that makes the tokens of a text, in the order in which the tokenizer applies them."""
    path = Path(model) if model and Path(model).is_file() else find_directory(model) if model else None
    tokenizer = load_tokenizer(path) if path else small_encoder().tokenizer
    if not isinstance(tokenizer, BPETokenizer):
        raise InputError(f"{model} has no byte-level BPE tokenizer, and only that merges")
    ids, text = tokenizer.spec.vocab, text or TEXT  # below, as in text.bpe, each token is one character, chr(id)
    merges = [(chr(ids[left]) + chr(ids[right]), chr(ids[left + right])) for left, right in tokenizer.spec.merges]
    ranks = {pair: rank for rank, (pair, _) in enumerate(merges)}

    def shown(row: str) -> list[tuple[str, int]]:
        return [(tokenizer.readable(ord(token)), ord(token)) for token in row]

    def replay(word: str) -> list[Data]:
        """The rule itself: of all pairs that stand in the word, join the one learnt first, wherever it stands."""
        row = to_symbols(word, "".join(chr(ids[symbol]) for symbol in BYTE_SYMBOLS))
        steps: list[Data] = [{"tokens": shown(row)}]
        while found := [ranks[pair] for pair in map("".join, pairwise(row)) if pair in ranks]:
            pair, made = merges[min(found)]
            row = row.replace(pair, made)
            steps.append({"rank": min(found), "pair": shown(pair), "made": shown(made)[0], "tokens": shown(row)})
        return steps

    words = WORD.findall(" " * (tokenizer.spec.add_prefix_space and not text.startswith(" ")) + text)
    whose = f"that of {model}" if model else "a small one, learned for this page from built-in synthetic reviews"
    about = f"The tokenizer is {whose}, with {len(merges):,} merges. Words: {len(words):,}, at most {MOST_WORDS} shown."
    return {"about": about, "words": [*map(replay, words[:MOST_WORDS])]}


# -- attention: which token takes how much from which ----------------------------------------------------------------


class Captured(list[tuple[Tensor, ...]], Watcher):
    """What comes out of each attention, and what goes into it: (out, q, k, v), and a bias if there is one."""

    def after_forward(self, out: Any, parents: tuple[Any, ...], backward: Callable[..., Any]) -> None:
        """Told of every op."""
        if op_name(backward) == "attention":
            self.append((out, *parents))


def attention_weights(encoder: SentenceEncoder, ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """What attention gives to each token of one text: ids and mask (1, T) -> weights (L, H, T, T), tokens (1, T, D).

    `weights[l, h, i, j]` is what token i takes from token j in head h of layer l. They are computed from the q and k
    that the encoder itself makes on its way; nothing is written to it.
    """
    captured, weights = Captured(), []
    with inference(), watching(captured):
        states = encoder.token_embeddings(ids, mask)
    for _, q, k, _, *bias in captured:
        qh, kh = (x.data.reshape(ids.size, encoder.config.num_heads, -1).swapaxes(0, 1) for x in (q, k))  # (H, T, K)
        scores = qh @ kh.swapaxes(1, 2) / np.sqrt(qh.shape[2]) + sum(b.data for b in bias)
        weights.append(softmax(Tensor(np.where(mask[0], scores, -np.inf))).data)
    return np.stack(weights), states


def attention_page(model: str | None, text: str | None) -> Data:
    """The weights of every head for one text with padding behind it, masked as it should be, and attended."""
    encoder, about = _encoder(model)
    tokenizer: Any = encoder.tokenizer
    most = min(MOST_TOKENS, encoder.max_seq_length, encoder.config.max_length - PADDING)
    (sequence,), cut = tokenizer.encode_and_cut([text or TEXT], most)
    T = len(sequence)
    ids, mask = (rows[:1] for rows in pad([sequence, [0] * (T + PADDING)], encoder.config.pad_id))
    cases, vectors = {}, []
    for name, seen in (("masked", mask), ("attended", np.ones_like(mask))):
        weights, states = attention_weights(encoder, ids, seen)
        p = weights[:, :, :T].astype(np.float64)  # what padding itself looks at is of no interest
        entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(axis=-1).mean(axis=-1)
        shares = {"weights": p.round(4), "entropy": entropy.round(3), "padding": p[..., T:].sum(-1).mean(-1).round(4)}
        cases[name] = {key: value.tolist() for key, value in shares.items()}
        vectors.append(normalized(encoder.pool(states, mask).data)[0])
    spelt = tokenizer.readable if isinstance(tokenizer, BPETokenizer) else tokenizer.id_to_token
    about += f" The text is cut to {T} tokens." if cut else ""
    tokens = [spelt(id) for id in ids[0].tolist()]
    return {"about": about, "tokens": tokens, "real": T, "cases": cases, "cosine": float(vectors[0] @ vectors[1])}


# -- plan: what trains when, and how fast ----------------------------------------------------------------------------

RECIPE, SMALL = "mpnet-llrd", {"pretrained": "", "num_layers": 6, "hidden_size": 32, "num_heads": 4, "vocab_size": 500}


def plan_page(model: str | None, text: str | None) -> Data:
    """The plan that `minitx train` would obey, by layer and step."""
    if text:
        raise InputError("the page plan takes a recipe or a result directory, and no text")
    metrics = Path(model) / "metrics.json" if model else Path()
    settings = read_fields(metrics).get("experiment", dict) if metrics.is_file() else read_recipe(model or RECIPE)
    job = prepare(experiment_of(settings, {} if model else SMALL), log=lambda line: None)
    plan, rows = job.plan, f"{len(job.parts.train):,} training rows of {job.audit.source}"
    steps = sorted({*np.linspace(0, plan.total_steps - 1, MOST_COLUMNS).astype(int).tolist(), *plan.starts})
    layers, rates, shares = by_layer(plan, steps)
    small = "" if model else " with a small new encoder of as many blocks in place of its pretrained one,"
    about = f"The plan of {model or RECIPE},{small} on {rows}, {job.experiment.batch_size} a step."
    times = {"steps": steps, "starts": plan.starts, "total": plan.total_steps, "epoch": plan.steps_per_epoch}
    return {"about": about, "layers": layers, "rates": rates.tolist(), "shares": shares.round(4).tolist()} | times


# -- map: sentences that mean the same lie close together ------------------------------------------------------------


def map_page(model: str | None, text: str | None) -> Data:
    """Sentences at the first two principal components of their vectors, and the nearest to each by cosine."""
    found = read_texts(text) if text else synthetic_reviews(250, seed=1)["content"].dropna().tolist()
    short = (" ".join(sentence.split()) for sentence in found if text or len(sentence) < 80)
    texts = list(dict.fromkeys(filter(None, short)))
    if len(texts) < 3:
        raise InputError(f"{text} has {len(texts)} different texts: a map needs at least 3")
    encoder, about = _encoder(model)
    vectors = normalized(encoder.encode(texts[:MOST_SENTENCES], show_progress_bar=False))
    about += f" Shown: {len(vectors)} of {len(texts):,} different texts of {text or 'the built-in synthetic reviews'}."
    u, s, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    near: list[Data] = []
    for row, hits in enumerate(semantic_search(vectors, vectors, top_k=NEAREST + 1)):
        others = [(hit["corpus_id"], hit["score"]) for hit in hits if hit["corpus_id"] != row][:NEAREST]
        near.append({"text": texts[row][:MOST_CHARACTERS], "at": (u * s)[row, :2].round(4).tolist(), "near": others})
    return {"about": about, "sentences": near, "share": float((s[:2] ** 2).sum() / max((s**2).sum(), 1e-30))}


SHOWN: dict[str, Callable[[str | None, str | None], Data]] = {"backward": backward_page, "bpe": bpe_page}
SHOWN |= {"attention": attention_page, "plan": plan_page, "map": map_page}
