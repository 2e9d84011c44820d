"""The moving pictures: their numbers are the library's own, and in a real browser their controls do what they say."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from minitx.app.cli import main
from minitx.autograd.context import inference, watching
from minitx.autograd.tensor import Tensor
from minitx.data.samples import SYNTHETIC_NAME
from minitx.errors import InputError
from minitx.learn import plain, show
from minitx.learn.show import write_page
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.text.bpe import BPETokenizer

HOSTILE = '</script><img src=x onerror="window.ran=1"><script>window.ran=1</script> <!-- &lt; \u2028 \u202e ok'
PAGES = tuple(show.SHOWN)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A random encoder with a relative position bias, three heads and three layers: nothing like the built-in one."""
    special = ("[CLS]", "[PAD]", "[SEP]", "[MASK]")  # padding has id 1, as in MPNet
    tokenizer = BPETokenizer.train(
        ["it crashes again", "love it", "crashes and crashes"], vocab_size=290, special_tokens=special
    )
    config = EncoderConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=24,
        num_heads=3,
        num_layers=3,
        intermediate_size=32,
        relative_buckets=32,
        positions="learned",
        pad_id=tokenizer.pad_id,
    )
    encoder = SentenceEncoder(config, tokenizer, rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    for parameter in encoder.parameters():  # large enough for attention to prefer something
        parameter.data += rng.normal(0, 0.2, parameter.shape).astype(np.float32)
    path = tmp_path_factory.mktemp("models") / "own"
    encoder.save_pretrained(path)
    return path


# -- the data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [*show.EXAMPLES, "log(1 + exp(-x)) / (a - b) ** 2", "x = 3; y = x ** -1.5 - 2 * x"])
def test_the_walk_in_order_gives_what_backward_gives(code):
    graph = show.expression_graph(code)
    names, steps = graph["names"], graph["walks"]["order"]
    sums = {graph["edges"][edge][0]: after for edge, _, _, after in steps if edge >= 0}
    engine = {i: grad for i, grad in enumerate(graph["engine"]) if grad is not None}
    assert engine
    assert {i: sums[i] for i in engine} == pytest.approx(engine)
    # and what backward gives is the slope, here by differences
    values = dict(zip(names, graph["values"], strict=True))
    for leaf, slope in engine.items():
        around = [evaluated(code, names[leaf], values[names[leaf]] + step) for step in (1e-6, -1e-6)]
        assert (around[0] - around[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-9)


def evaluated(code: str, name: str, value: float) -> float:
    """The result of the expression with another value for one variable."""
    code = re.sub(rf"^{name} = [\d.]+; ", "", code)
    return float(show.expression_graph(f"{name} = {value!r}; {code}")["values"][-1])


def test_the_naive_walk_ends_with_6_and_agrees_where_no_inner_node_is_used_twice():
    graph = show.expression_graph("b = a + a; c = b + b")
    assert graph["ops"] == ["", "+", "+"]
    assert graph["walks"]["naive"][-1][-1] == 6
    assert graph["walks"]["order"][-1][-1] == graph["engine"][0] == 4
    graph = show.expression_graph("y = x + tanh(w * x)")
    assert sorted(graph["walks"]["naive"])[-1][-1] == sorted(graph["walks"]["order"])[-1][-1]


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('true')",
        "x.data",
        "exp(x, x)",
        "[x for x in y]",
        "lambda: x",
        "x ** y",
        "unknown * x",
        "x if x else y",
        "'text' * x",
        "x +",
        "1 + 2",
        "x",
        "log(-1 * a)",
        "exp(x * 10 ** 6)",
        "1 / (a - a)",
        "import os",
        "x = y = a",
        "; ".join(f"{new} = {old} + {old}" for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)),
        "+".join(["x"] * 60),
        "-" * 100_000 + "x",
        "10 ** 10 ** 10 * x",
        f"{10**400} * x",
        "x\0",
        "x + \udcff",
    ],
)
def test_other_expressions_are_refused_in_one_line(code, tmp_path):
    with pytest.raises(InputError) as error:
        write_page("backward", None, code, tmp_path / "page.html")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [None, "aaaa aaa, crashes\n\n  \U0001f621 naïve  ", HOSTILE])
def test_replaying_merges_gives_the_ids_and_the_lines_of_the_tokenizer(model, text):
    for path in (None, str(model)):
        tokenizer = show.small_encoder().tokenizer if path is None else BPETokenizer.load(model / "tokenizer.json")
        words = show.bpe_page(path, text)["words"]
        ids = [id for steps in words for _, id in steps[-1]["tokens"]]
        assert ids == tokenizer.encode(text or show.TEXT, add_special_tokens=False)
        lines = tokenizer.explain(text or show.TEXT)
        ranks = [int(rank) for rank in re.findall(r"merge (\d+):", "\n".join(lines))]
        assert [step["rank"] for steps in words for step in steps[1:]] == ranks
        assert ranks


def test_a_tokenizer_without_merges_is_refused(tmp_path):
    directory = tmp_path / "words"
    directory.mkdir()
    (directory / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nok\n")
    with pytest.raises(InputError, match="no byte-level BPE"):
        show.bpe_page(str(directory), None)


def test_weights_are_those_of_the_model(model):
    encoder = SentenceEncoder.from_pretrained(model)
    before = {name: weight.copy() for name, weight in encoder.state_dict().items()}
    ids = np.array([[*encoder.tokenize(["it crashes again"])[0], *[encoder.config.pad_id] * 3]])
    T, real = ids.size, ids.size - 3
    for mask in (np.arange(T)[None] < real, np.ones((1, T), bool)):
        weights, states = show.attention_weights(encoder, ids, mask)
        assert weights.shape == (3, 3, T, T)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
        captured = show.Captured()
        with inference(), watching(captured):
            np.testing.assert_array_equal(states.data, encoder.token_embeddings(ids, mask).data)
        assert len(captured) == 3
        for layer, (out, q, k, v, bias) in enumerate(captured):
            heads = v.data[0].reshape(T, 3, -1).swapaxes(0, 1)
            mixed = (weights[layer] @ heads).swapaxes(0, 1).reshape(1, T, -1)
            np.testing.assert_allclose(mixed, out.data, atol=1e-5)
            np.testing.assert_allclose(plain.attention(q, k, v, 3, mask, bias).data, out.data, atol=1e-5)
            # v = one token's own vector, 1 in every column: what comes out is the weight it gets
            for token in range(T):
                only = Tensor(np.zeros_like(v.data))
                only.data[0, token] = 1
                got = plain.attention(q, k, only, 3, mask, bias).data[0].reshape(T, 3, -1)[:, :, 0]
                np.testing.assert_allclose(weights[layer, :, :, token].T, got, atol=1e-5)
    assert all(np.array_equal(weight, before[name]) for name, weight in encoder.state_dict().items())


def test_the_attention_page_has_padding_masked_and_attended(model):
    page = show.attention_page(str(model), "it crashes")
    right, wrong = page["cases"]["masked"], page["cases"]["attended"]
    for case in (right, wrong):
        np.testing.assert_allclose(np.sum(case["weights"], axis=-1), 1, atol=2e-3)
    T = page["real"]
    assert page["tokens"][0] == "[CLS]"
    assert page["tokens"][T:] == ["[PAD]"] * show.PADDING
    assert not np.array(right["weights"])[..., T:].any()
    taken = np.array(wrong["weights"])[..., T:].sum(-1).mean(-1)
    np.testing.assert_allclose(wrong["padding"], taken, atol=1e-3)
    assert taken.min() > 0.01
    p = np.array(right["weights"])
    np.testing.assert_allclose(right["entropy"], -(p * np.log(p + 1e-12)).sum(-1).mean(-1), atol=0.01)
    assert page["cosine"] < 0.9999
    assert "cut to 40" in show.attention_page(str(model), "it crashes again " * 30)["about"]


def test_the_plan_page_is_the_plan(trained):
    page = show.plan_page(None, None)
    steps, starts = page["steps"], page["starts"]
    assert len(starts) == 4
    assert steps[0] == 0
    assert steps[-1] == page["total"] - 1
    assert set(starts) <= set(steps)
    heads, bottom = page["layers"].index("sentiment"), page["layers"].index("block 0")
    assert min(page["shares"][heads]) == 1
    thawed = [step for step, share in zip(steps, page["shares"][bottom], strict=True) if share]
    assert thawed[0] == starts[3]
    of_a_run = show.plan_page(str(trained), None)
    assert of_a_run["layers"][-2:] == ["sentiment", "engagement"]
    assert of_a_run["total"] == 2 * of_a_run["epoch"]
    with pytest.raises(InputError, match="no text"):
        show.plan_page(None, "text")


def test_the_map_has_the_two_largest_components_and_the_nearest_by_cosine(model, tmp_path):
    file = tmp_path / "texts.txt"
    lines = ["love it", "it crashes", " love   it ", "", "crashes again and again", "it", "love", "again", "x", "yy"]
    file.write_text("\n".join(lines), encoding="utf-8")
    page = show.map_page(str(model), str(file))
    texts = [sentence["text"] for sentence in page["sentences"]]
    assert texts == ["love it", "it crashes", "crashes again and again", "it", "love", "again", "x", "yy"]
    vectors = SentenceEncoder.from_pretrained(model).encode(texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    at = np.array([sentence["at"] for sentence in page["sentences"]])
    variances = np.linalg.eigvalsh(np.cov(vectors.T, bias=True))[::-1]
    np.testing.assert_allclose(at.var(axis=0), variances[:2], rtol=1e-2)
    assert page["share"] == pytest.approx(variances[:2].sum() / variances.sum(), rel=1e-3)
    cosines = vectors @ vectors.T - 2 * np.eye(len(texts))
    for i, sentence in enumerate(page["sentences"]):
        assert len(sentence["near"]) == show.NEAREST
        assert [j for j, _ in sentence["near"]] == np.argsort(-cosines[i])[: show.NEAREST].tolist()
    file.write_text("one\ntwo\n")
    with pytest.raises(InputError, match="at least 3"):
        show.map_page(None, str(file))


def test_what_cannot_be_shown_is_refused_and_nothing_is_replaced(tmp_path):
    out = tmp_path / "page.html"
    for arguments, message in (
        (("atention", None, None, out), "did you mean attention"),
        (("attention", str(tmp_path / "nothing"), None, out), "is not a directory"),
        (("bpe", str(tmp_path / "nothing"), None, out), "is not a directory"),
        (("map", None, str(tmp_path / "no.txt"), out), "readable file"),
        (("plan", "bert-gradul", None, out), "did you mean bert-gradual"),
        (("backward", "x * x", "x + x", out), "takes one expression"),
        (("backward", None, None, tmp_path / "page.htm"), "must end in .html"),
    ):
        with pytest.raises(InputError, match=message) as error:
            write_page(*arguments)
        assert "\n" not in str(error.value)
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_page("backward", None, None, out)
    assert out.read_text() == "mine"
    assert str(out) in write_page("backward", "x * x", "", out, overwrite=True)
    assert "x * x" in out.read_text()
    assert list(tmp_path.iterdir()) == [out]


def test_pages_are_the_same_each_time_and_say_what_they_are_made_from(pages, tmp_path):
    for name in PAGES:
        write_page(name, None, None, tmp_path / f"{name}.html")
        assert (tmp_path / f"{name}.html").read_bytes() == (pages / f"{name}.html").read_bytes()
        about = data_of(pages / f"{name}.html")["about"]
        assert {"backward": "engine", "plan": f"recipe|{show.RECIPE}"}.get(name, SYNTHETIC_NAME).split("|")[-1] in about


def test_the_small_encoder_is_the_same_each_time():
    first, again = show.small_encoder().state_dict(), show.small_encoder.__wrapped__().state_dict()
    assert all(np.array_equal(first[name], again[name]) for name in first)


def data_of(page: Path) -> dict:
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))[1]
    )


# -- the files ---------------------------------------------------------------------------------------------------------


def test_the_files_load_nothing_and_know_no_markup_in_data(pages):
    for name in PAGES:
        html = (pages / f"{name}.html").read_text(encoding="utf-8")
        assert "default-src 'none'" in html
        assert "unsafe-inline" not in html
        assert not re.search(r'\b(src|href|style|on\w+)="', html)
        assert not re.search(r"@import|url\((?!#)|//(?!www\.w3\.org| )", html.replace("http:", ""))
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|fetch\(", html)


def test_scripts_are_short_lines_and_their_budget_holds():
    files = sorted(show.PAGES.glob("*.js"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert {file.stem for file in files} == {*PAGES, "page"}
    assert max(map(len, lines)) <= 120
    assert sum(not line.strip().startswith(("//", "/*")) for line in lines if line.strip()) <= 240


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """Each page about its own model and text."""
    directory = tmp_path_factory.mktemp("pages")
    for name in PAGES:
        write_page(name, None, None, directory / f"{name}.html")
    return directory


@pytest.fixture(scope="module")
def browser():
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no chromium here")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with playwright.sync_playwright() as driver:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        launched = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if root else [])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser):
    """Open a file; at the end there must have been no error, no message on the console and no request."""
    complaints, contexts = [], []

    def go(path: Path, width: int = 1000, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1000, "light"), (1000, "dark"), (390, "light"), (390, "dark")])
def test_every_page_fits_has_colours_for_day_and_night_and_names_its_controls(visit, pages, name, width, scheme):
    page = visit(pages / f"{name}.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == (scheme == "dark")
    assert page.locator("h1").count() == 1
    controls = page.locator("button:visible, select:visible, input:visible")
    for i in range(controls.count()):
        named = "e => e.ariaLabel || e.textContent.trim() || [...e.labels ?? []].map(l => l.textContent).join('')"
        assert controls.nth(i).evaluate(named)
    assert page.locator("[aria-live]").count() > 0
    if folder := os.environ.get("MINITX_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}-{width}-{scheme}.png", full_page=True)


def test_backward_steps_forward_and_back_and_the_naive_walk_ends_with_6(visit, pages):
    page = visit(pages / "backward.html")
    gradients = page.locator(".gradient")
    assert gradients.all_text_contents() == ["", "", "grad 1"]
    page.keyboard.press("ArrowRight")
    assert gradients.all_text_contents() == ["", "grad 1", "grad 1"]
    page.click("#forward")
    assert gradients.all_text_contents() == ["", "grad 2", "grad 1"]
    page.click("#back")
    page.keyboard.press("ArrowLeft")
    assert gradients.all_text_contents() == ["", "", "grad 1"]
    page.keyboard.press("End")
    assert gradients.all_text_contents() == ["grad 4", "grad 2", "grad 1"]
    assert "a.grad = 4: right" in page.inner_text("#now")
    page.select_option("#walk", "naive")
    assert gradients.all_text_contents() == ["", "", "grad 1"]
    page.click("h1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "Too early" in page.inner_text("#now")
    page.keyboard.press("End")
    assert gradients.first.text_content() == "grad 6"
    assert "a.grad = 6: wrong, right is a.grad = 4" in page.inner_text("#now")
    page.select_option("#graphs", index=1)
    assert page.locator(".node").count() == 6


def test_the_player_plays_pauses_and_obeys_its_slider_and_speed(visit, pages):
    page = visit(pages / "bpe.html")
    page.select_option("#speed", "250")
    page.click("#play")
    for _ in range(50):  # the page's policy forbids what `wait_for_function` would do
        page.wait_for_timeout(100)
        if int(page.input_value("#step")) >= 2:
            break
    assert page.inner_text("#play") == "Pause"
    assert page.get_attribute("#now", "aria-live") == "off"
    page.click("#play")
    assert page.inner_text("#play") == "Play"
    assert page.get_attribute("#now", "aria-live") == "polite"
    stopped = page.input_value("#step")
    page.wait_for_timeout(400)
    assert page.input_value("#step") == stopped
    page.focus("#step")
    page.keyboard.press("End")
    assert "No pair" in page.inner_text("#now")
    page.click("#play")  # at the end: from the beginning
    assert page.inner_text("#play") == "Pause"
    assert int(page.input_value("#step")) < 3


def test_bpe_shows_rank_pair_and_tokens_of_every_merge(visit, pages):
    page = visit(pages / "bpe.html")
    words = data_of(pages / "bpe.html")["words"]
    page.locator(".word").nth(2).click()
    now = words[2]
    assert page.locator("#merges tr").count() == len(now) - 1
    for step in now[1:]:
        page.keyboard.press("ArrowRight")
        assert f"merge {step['rank']} joins" in page.inner_text("#now")
        assert [text.split("\n")[0] for text in page.locator("#tokens .token").all_inner_texts()] == [
            text for text, _ in step["tokens"]
        ]
        assert str(step["rank"]) in page.inner_text("#merges tr.now")
    assert page.locator("[aria-current=true]").count() == 1


def test_attention_shows_every_head_and_what_padding_takes(visit, pages):
    page = visit(pages / "attention.html")
    data = data_of(pages / "attention.html")
    numbers = page.locator("#matrix tr:nth-child(3) td")

    def row(case: str, layer: int, head: int) -> list[str]:
        return [f"{p:.2f}".removeprefix("0") for p in data["cases"][case]["weights"][layer][head][1]]

    assert numbers.all_inner_texts() == row("masked", 0, 0)
    page.select_option("#layer", index=1)
    page.select_option("#head", index=2)
    masked = numbers.all_inner_texts()
    assert masked == row("masked", 1, 2)
    assert set(masked[data["real"] :]) == {".00"}
    page.focus("#mask")
    page.keyboard.press("Space")
    assert numbers.all_inner_texts() == row("attended", 1, 2) != masked
    assert f"{100 * data['cases']['attended']['padding'][1][2]:.1f} %" in page.inner_text("#padding")
    assert sum(map(float, numbers.all_inner_texts())) == pytest.approx(1, abs=0.005 * len(data["tokens"]))
    page.hover("#matrix tr:nth-child(6) th")
    assert page.input_value("#row") == "4"
    weights = data["cases"]["attended"]["weights"][1][2][4]
    assert page.locator("#bars li").first.inner_text().startswith(f"{max(weights):.3f}")
    entropies = [f"{nats:.2f}" for layer in data["cases"]["attended"]["entropy"] for nats in layer]
    assert page.locator("#heads td").all_inner_texts() == entropies


def test_the_slider_moves_the_plan(visit, pages):
    page = visit(pages / "plan.html")
    data = data_of(pages / "plan.html")
    cells = page.locator(".rate-now")
    assert cells.all_inner_texts()[:3] == ["frozen"] * 3
    for column in (data["steps"].index(data["starts"][1]), len(data["steps"]) - 2):
        page.locator("#step").fill(str(column))
        for layer, text in enumerate(cells.all_inner_texts()):
            if data["shares"][layer][column]:
                assert float(text) == pytest.approx(data["rates"][layer][column], rel=6e-3)
            else:
                assert text == "frozen"
        assert f"Step {data['steps'][column] + 1} of {data['total']}" in page.inner_text("#now")


def test_the_map_finds_and_lists_the_nearest(visit, pages):
    page = visit(pages / "map.html")
    sentences = data_of(pages / "map.html")["sentences"]
    word = "update" if any("update" in s["text"] for s in sentences) else "app"
    page.fill("#search", word.upper())
    found = [i for i, sentence in enumerate(sentences) if word in sentence["text"].lower()]
    assert 0 < len(found) < len(sentences)
    assert page.locator("circle.found").count() == len(found)
    assert page.inner_text("#count") == f"{len(found)} of {len(sentences)} sentences"
    assert word in page.inner_text("#pointed").lower()
    page.keyboard.press("Enter")
    assert page.inner_text("#chosen") == page.inner_text("#pointed")
    page.fill("#search", "")
    page.focus("#map")
    before = page.inner_text("#pointed")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#pointed") != before
    page.locator("circle").nth(7).dispatch_event("click")
    assert page.inner_text("#chosen") == sentences[7]["text"]
    listed = [sentences[j]["text"] for j, _ in sentences[7]["near"]]
    assert page.locator("#near button").all_inner_texts() == listed
    page.locator("#near button").first.click()
    assert page.inner_text("#chosen") == listed[0]


@pytest.mark.parametrize("name", ["bpe", "attention", "map"])
def test_hostile_text_is_shown_and_does_not_run(visit, model, tmp_path, name):
    text = HOSTILE
    if name == "map":
        text = str(tmp_path / "<b>texts.txt")
        Path(text).write_text("\n".join([HOSTILE, "love it", "it crashes", "again"]), encoding="utf-8")
    write_page(name, str(model), text, tmp_path / "page.html")
    page = visit(tmp_path / "page.html")
    assert page.evaluate("window.ran") is None
    assert page.locator("img, b:not(li b)").count() == 0
    shown = page.inner_text("body").replace("\n", "")
    assert {"bpe": "</", "attention": "</", "map": "</script><img"}[name] in shown
    assert "\u2028" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_policy_of_a_page_stops_markup_and_scripts_that_are_not_its_own(browser, pages):
    """Were a text ever to become markup, this is what would stand in its way."""
    page = browser.new_page()
    page.goto((pages / "bpe.html").as_uri())
    refused = "() => { try { document.body.innerHTML = '<p>'; } catch (error) { return error.name; } }"
    assert page.evaluate(refused) == "TypeError"
    page.evaluate(
        "() => { const s = document.createElement('p'); s.setAttribute('style', 'color: red');"
        " document.body.append(s); }"
    )
    assert page.evaluate("getComputedStyle(document.querySelector('body > p:last-child')).color") != "rgb(255, 0, 0)"
    other = pages / "other.html"
    other.write_text(
        (pages / "bpe.html").read_text("utf-8").replace("</main>", "<script>window.ran = 1</script></main>")
    )
    page.goto(other.as_uri())
    assert page.evaluate("window.ran") is None
    other.unlink()
    page.close()


def test_a_result_directory_is_a_model(trained, tmp_path):
    assert main(["predict", str(trained), "it crashes"]) == 0
    for name in ("bpe", "attention"):
        write_page(name, str(trained), "it crashes", tmp_path / f"{name}.html")
        assert str(trained) in data_of(tmp_path / f"{name}.html")["about"]
