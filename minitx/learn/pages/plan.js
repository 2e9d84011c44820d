// A row for each layer: its curve of rates, a line at the chosen step, and what it does there.

const [WIDTH, HEIGHT] = [300, 30];
const across = (step) => (WIDTH * step) / data.total;
const digits = (rate) => rate.toExponential(2);
const highest = data.rates.map((rates) => Math.max(...rates));

/** The curve of a layer: an area as high as its rate, on hatched ground where nothing of it trains. */
function curve(layer) {
  const starts = data.steps.map(across), ends = [...starts.slice(1), WIDTH];
  const height = (rate) => HEIGHT - 1 - (HEIGHT - 4) * (rate / (highest[layer] || 1));
  const frozen = starts.map((x, i) => (data.shares[layer][i] ? "" : `M ${x} 0 H ${ends[i]} V ${HEIGHT} H ${x} Z`));
  const area = starts.map((x, i) => `L ${x} ${height(data.rates[layer][i])} H ${ends[i]}`);
  const stages = data.starts.slice(1).map((start) => `M ${across(start)} 0 V ${HEIGHT}`);
  const paths = { frozen, rate: [`M 0 ${HEIGHT}`, ...area, `V ${HEIGHT} Z`], stage: stages, cursor: [] };
  const drawn = Object.entries(paths).map(([name, parts]) => element("path", { class: name, d: parts.join(" ") }));
  return element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "none" }, ...drawn);
}

/** Show what every layer does at a column of the plan; which layers train, in words. */
function showPlan(column) {
  const step = data.steps[column];
  document.querySelectorAll(".cursor").forEach((line) => line.setAttribute("d", `M ${across(step)} 0 V ${HEIGHT}`));
  document.querySelectorAll(".rate-now").forEach((cell, layer) => {
    const part = data.shares[layer][column];
    const only = part < 1 ? ` (${(100 * part).toFixed(0)} % of it)` : "";
    cell.textContent = part ? digits(data.rates[layer][column]) + only : "frozen";
    cell.parentElement.classList.toggle("later", !part);
  });
  const training = data.layers.filter((_, layer) => data.shares[layer][column]);
  const stage = data.starts.filter((start) => start <= step).length;
  return `Step ${step + 1} of ${data.total}, epoch ${(step / data.epoch).toFixed(2)}, `
    + `stage ${stage} of ${data.starts.length}. Training: ${training.join(", ") || "nothing"}.`;
}

byId("plan").append(...data.layers.map((name, layer) => element("tr", {}, element("th", {}, name),
  element("td", { class: "curve" }, curve(layer)), element("td", { class: "rate-now" }),
  element("td", {}, digits(highest[layer])))));
startPlayer(data.steps.length - 1, showPlan);
