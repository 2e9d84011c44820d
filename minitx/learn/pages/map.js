// Points on the plane of the first two principal components, a search, and the nearest sentences of the chosen one.

const SIZE = 400, EDGE = 8, { sentences } = data;
const [xs, ys] = [0, 1].map((axis) => sentences.map(({ at }) => at[axis]));
const [west, north] = [Math.min(...xs), Math.max(...ys)];
const scale = (SIZE - 2 * EDGE) / Math.max(Math.max(...xs) - west, 1e-9); // of both axes: distances are distances
const places = sentences.map(({ at: [x, y] }) => [EDGE + scale * (x - west), EDGE + scale * (north - y)]);
const points = places.map(([cx, cy], i) =>
  element("circle", { cx, cy, r: 3.5, onpointerenter: () => point(i), onclick: () => choose(i) }));
const leftToRight = xs.map((_, i) => i).sort((i, j) => xs[i] - xs[j]);
let found = leftToRight, pointed = found[0]; // found: what the arrow keys go through

const mark = (name, marked) => points.forEach((point, i) => point.classList.toggle(name, marked.includes(i)));

/** Say which sentence stands at a point. */
function point(i) {
  pointed = i;
  mark("pointed", [i]);
  byId("pointed").textContent = sentences[i].text;
}

/** List the sentences nearest to one, and draw lines to them. */
function choose(i) {
  point(i);
  const { text, near } = sentences[i];
  byId("chosen").textContent = text;
  mark("near", [i, ...near.map(([j]) => j)]);
  byId("lines").setAttribute("d", near.map(([j]) => `M ${places[i]} L ${places[j]}`).join(" "));
  byId("near").replaceChildren(...near.map(([j, cosine]) =>
    bar(cosine, element("button", { class: "text", onclick: () => choose(j) }, sentences[j].text))));
}

function search() {
  const wanted = byId("search").value.trim().toLowerCase();
  found = leftToRight.filter((i) => sentences[i].text.toLowerCase().includes(wanted));
  mark("found", wanted ? found : []);
  byId("count").textContent = wanted ? `${found.length} of ${sentences.length} sentences` : "";
  if (wanted && found.length) point(found[0]);
}

byId("share").textContent = `${(100 * data.share).toFixed(0)} %`;
byId("map").setAttribute("viewBox", `0 0 ${SIZE} ${2 * EDGE + scale * (north - Math.min(...ys))}`);
byId("map").append(...points);
on("map", "keydown", (event) => {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (by && found.length) point(found.at((found.indexOf(pointed) + by) % found.length));
  if (by) event.preventDefault(); // the page stays where it is
});
for (const id of ["map", "search"]) on(id, "keydown", ({ key }) => key === "Enter" && choose(pointed));
on("search", "input", search);
choose(pointed);
