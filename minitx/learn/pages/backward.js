// The graph is drawn as a column of nodes, parents above their consumers; every edge is an arc on its right.

const BOX = { width: 236, height: 46, step: 66 };
let graph, steps;

const isLeaf = (node) => !graph.ops[node];
const called = (node) => graph.names[node] || `node ${node + 1} (${graph.ops[node] || say(graph.values[node])})`;
const end = (edge) => (edge < 0 ? graph.names.length - 1 : graph.edges[edge][0]); // where a derivative arrives

function drawNode(name, node) {
  return element("g", { class: isLeaf(node) ? "node leaf" : "node", transform: `translate(2 ${BOX.step * node + 2})` },
    element("rect", { width: BOX.width - 4, height: BOX.height, rx: 8 }), element("text", { x: 12, y: 19 }, name),
    element("text", { class: "op", x: BOX.width - 14, y: 19 }, graph.ops[node]),
    element("text", { x: 12, y: 38 }, `value ${say(graph.values[node])}`),
    element("text", { class: "gradient", x: BOX.width / 2, y: 38 }));
}

function drawEdge([parent, consumer], edge) {
  const [x, from, to] = [BOX.width, BOX.step * (parent + 0.6), BOX.step * (consumer + 0.1)];
  const bend = 200 - 200 / (1 + 0.25 * (consumer - parent)) + 36 * (edge % 2); // twins bend differently
  const path = `M ${x} ${from} C ${x + bend * 1.33} ${from}, ${x + bend * 1.33} ${to}, ${x} ${to}`;
  const label = element("text", { x: x + bend + 6, y: (from + to) / 2 + (edge % 2 ? 14 : -4) });
  return element("g", { class: "edge" }, element("path", { d: path }), label);
}

/** Draw the chosen expression, and play the chosen walk through it. */
function drawGraph() {
  graph = data.graphs[byId("graphs").value];
  steps = graph.walks[byId("walk").value];
  byId("graph").setAttribute("viewBox", `0 0 ${BOX.width + 210} ${BOX.step * graph.names.length}`);
  byId("graph").replaceChildren(...graph.edges.map(drawEdge), ...graph.names.map(drawNode));
  startPlayer(steps.length - 1, showBackward);
}

/** Show the sums after a step of the walk; what the step does, in words. */
function showBackward(step) {
  const [edge, dy, dx, sum] = steps[step];
  const sums = Object.fromEntries(steps.slice(0, step + 1).map(([passed, , , after]) => [end(passed), after]));
  document.querySelectorAll(".edge").forEach((drawn, i) => {
    const arrived = steps.slice(0, step + 1).filter(([passed]) => passed === i);
    drawn.lastChild.textContent = arrived.map((passed) => say(passed[2])).join(", ");
    drawn.classList.toggle("now", i === edge);
  });
  document.querySelectorAll(".node").forEach((drawn, i) => {
    drawn.lastChild.textContent = i in sums ? `grad ${say(sums[i])}` : "";
    drawn.classList.toggle("now", i === end(edge));
  });
  if (edge < 0) return `${called(end(edge))} is the result: its derivative by itself is 1.`;
  const from = graph.edges[edge][1];
  const early = steps.slice(step + 1).some(([later]) => end(later) === from);
  const product = dy ? `${say(dy)} × ${say(dx / dy)} = ${say(dx)}` : say(dx);
  return `${called(from)} passes ${product} to ${called(end(edge))}, whose sum is now ${say(sum)}.`
    + (early ? ` Too early: ${called(from)} has not received everything yet.` : "")
    + (step + 1 === steps.length ? ` ${verdict(sums)}` : "");
}

/** The leaves' sums at the end, beside what the engine's own backward() gives. */
function verdict(sums) {
  const leaves = Object.keys(sums).map(Number).filter(isLeaf);
  const list = (values) => leaves.map((leaf) => `${called(leaf)}.grad = ${say(values[leaf])}`).join(", ");
  const [found, right] = [list(sums), list(graph.engine)];
  return `At the end ${found}: ` + (found === right ? "right, as backward() says." : `wrong, right is ${right}.`);
}

byId("graphs").append(...data.graphs.map(({ code }, i) => element("option", { value: i }, code)));
for (const id of ["graphs", "walk"]) on(id, "change", drawGraph);
drawGraph();
