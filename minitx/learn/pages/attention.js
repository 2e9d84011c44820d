// The chosen head as a matrix, and one row of it as bars. Every number was computed by the encoder.

const names = data.tokens.map((token, i) => (i < data.real ? token : "(padding)"));
const chosen = (id) => Number(byId(id).value);
const shown = () => data.cases[byId("mask").checked ? "masked" : "attended"];
const matrix = () => shown().weights[chosen("layer")][chosen("head")];

/** A table of numbers, each on a ground as dark as `weight` says; `point(i)` is called when a row is pointed at. */
function table(rows, columns, numbers, text, weight, point = () => {}) {
  const titles = ["", ...columns].map((name) => element("th", {}, element("span", {}, name)));
  const cell = (number) => element("td", { "--weight": weight(number) }, text(number));
  return element("table", { class: "numbers" }, element("tr", {}, ...titles), ...rows.map((name, i) =>
    element("tr", { onpointerenter: () => point(i) }, element("th", {}, name), ...numbers[i].map(cell))));
}

/** Show the chosen head, with padding masked or attended, and the chosen row of it. */
function show() {
  const { entropy, padding } = shown(), masked = byId("mask").checked;
  const most = Math.log(masked ? data.real : names.length);
  const taken = (100 * padding[chosen("layer")][chosen("head")]).toFixed(1);
  byId("most").textContent = most.toFixed(2);
  byId("padding").textContent = masked ? "Padding takes nothing: its weights are 0 in every head."
    : `Padding takes ${taken} % in this head; the text's vector has cosine ${data.cosine.toFixed(3)} to the right one.`;
  const short = (p) => p.toFixed(2).replace(/^0/, "");
  byId("matrix").replaceChildren(table(names.slice(0, data.real), names, matrix(), short, Math.sqrt, pointAt));
  const titles = [layers.map((i) => `layer ${i}`), heads.map((i) => `head ${i}`)];
  byId("heads").replaceChildren(table(...titles, entropy, (nats) => nats.toFixed(2), (nats) => 1 - nats / most));
  showRow();
}

const pointAt = (row) => showRow(byId("row").value = row);

/** Mark the chosen row of the matrix, and list where it looks, most first. */
function showRow() {
  const row = chosen("row"), weights = matrix()[row];
  byId("matrix").querySelectorAll("tr").forEach((line, i) => line.classList.toggle("now", i === row + 1));
  const most = names.map((_, i) => i).sort((i, j) => weights[j] - weights[i]).slice(0, 8);
  byId("bars").replaceChildren(...most.map((i) => bar(weights[i], names[i])));
}

const [layers, heads] = [shown().entropy, shown().entropy[0]].map((list) => list.map((_, i) => i + 1));
for (const [id, list] of Object.entries({ layer: layers, head: heads, row: names.slice(0, data.real) })) {
  byId(id).append(...list.map((name, value) => element("option", { value }, name)));
}
for (const id of ["layer", "head", "mask"]) on(id, "change", show);
on("row", "change", showRow);
show();
