"use strict";
// What all pages share. Texts reach a page through `append` and `textContent` alone, which never read markup.

const byId = (id) => document.getElementById(id);
const on = (id, type, act) => byId(id).addEventListener(type, act);
const data = JSON.parse(byId("data").textContent);
const SVG_TAGS = ["g", "svg", "path", "rect", "text", "circle"];

/** A new element of HTML or SVG, with attributes, listeners and numbers for the style, texts and other elements. */
function element(tag, attributes = {}, ...children) {
  const space = SVG_TAGS.includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const made = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made[name] = value;
    else if (name.startsWith("--")) made.style.setProperty(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A line of a list, with its number from 0 to 1 as a bar behind it. */
const bar = (number, child) => element("li", { "--weight": number }, element("b", {}, number.toFixed(3)), child);

/** A number with at most four digits: 4, 0.25, 0.4621, 2.5e-6. */
const say = (number) => String(Number(number.toPrecision(4)));

// -- the player: a slider, buttons and keys that go through steps ---------------------------------------------------

const slider = byId("step");
let showStep, timer;

/** Play steps 0 to `last`: `show(step)` puts one on the page and returns a sentence about it. */
function startPlayer(last, show) {
  [showStep, slider.max, byId("player").hidden] = [show, last, false];
  play(false);
  goTo(0);
}

function goTo(step) {
  slider.value = step;
  byId("now").textContent = showStep(slider.valueAsNumber);
  byId("place").textContent = `${slider.valueAsNumber + 1} of ${Number(slider.max) + 1}`;
  if (slider.value === slider.max) play(false);
}

function play(on) {
  clearInterval(timer);
  timer = on && setInterval(() => goTo(slider.valueAsNumber + 1), byId("speed").value);
  byId("play").textContent = on ? "Pause" : "Play";
  byId("now").setAttribute("aria-live", on ? "off" : "polite"); // no voice could keep up
}

const moves = { ArrowLeft: (at) => at - 1, ArrowRight: (at) => at + 1, Home: () => 0, End: () => slider.max };
document.addEventListener("keydown", ({ key, target }) =>
  showStep && key in moves && !target.matches("input, select") && goTo(moves[key](slider.valueAsNumber)));
on("step", "input", () => goTo(slider.valueAsNumber));
on("back", "click", () => goTo(slider.valueAsNumber - 1));
on("forward", "click", () => goTo(slider.valueAsNumber + 1));
on("speed", "change", () => play(Boolean(timer)));
on("play", "click", () => {
  if (slider.value === slider.max) goTo(0);
  play(!timer);
});
byId("about").textContent = data.about;
