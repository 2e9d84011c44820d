// One step of the player is one merge; the first step of each word shows its bytes.

const played = data.words.flatMap((steps, word) => steps.map((_, index) => ({ word, index })));
const spell = (tokens) => tokens.map(([text]) => text);

/** Tokens side by side; those with the id `made`, which a merge has just joined, are marked. */
const chips = (tokens, made, withIds = false) => tokens.map(([text, id]) =>
  element("span", { class: id === made ? "token now" : "token" }, text, withIds ? element("small", {}, id) : ""));

function wordButton(steps, i, { word, index }) {
  const parts = i > word ? [spell(steps[0].tokens).join("")] : chips(steps.at(i === word ? index : -1).tokens);
  const first = played.findIndex((step) => step.word === i);
  return element("button", { class: "word", "aria-current": i === word, onclick: () => goTo(first) }, ...parts);
}

const mergeRow = ({ rank, pair, made }, i, now) =>
  element("tr", { class: i === now ? "now" : i > now ? "later" : "" },
    ...[rank, spell(pair).join(" + "), `${made[0]} (${made[1]})`].map((text) => element("td", {}, text)));

function showMerge(step) {
  const { word, index } = played[step];
  const steps = data.words[word], { rank, pair, made, tokens } = steps[index];
  byId("text").replaceChildren(...data.words.map((other, i) => wordButton(other, i, played[step])));
  byId("tokens").replaceChildren(...chips(tokens, made?.[1], true));
  byId("merges").replaceChildren(...steps.slice(1).map((merge, i) => mergeRow(merge, i + 1, index)));
  const what = made ? `merge ${rank} joins ${spell(pair).join(" and ")} to ${made[0]}, id ${made[1]}` : "its bytes";
  const done = index === steps.length - 1 ? " No pair that was learnt is left." : "";
  return `Word ${word + 1} of ${data.words.length}, “${spell(tokens).join("")}”: ${what}.${done}`;
}

startPlayer(played.length - 1, showMerge);
