// Charts: drawn by Vega from the specifications in the content, without eval, those in view first.

import { el, fresh } from "./dom.js";

const waiting = [];
const views = new WeakMap();
let config = {};
let loaded = null;

// What all charts have in common and, where their code comes later than the page, a promise: whether it has come.
export function configure(settings, code = null) {
  config = settings;
  loaded = code;
}

export function chart(part) {
  const [titled, described] = [fresh("chart"), fresh("words")];
  const title = el("figcaption", { id: titled, class: "name" }, part.title);
  const words = el("p", { id: described, class: "words" }, part.words);
  if (Object.keys(part.spec).length === 0) return el("figure", { class: "chart" }, title, words);
  const plot = el("div", { class: "plot", role: "img", "aria-labelledby": titled, "aria-describedby": described });
  waiting.push({ plot, spec: part.spec });
  const node = el("figure", { class: "chart" }, title, plot, words);
  node.renew = (next) => {
    if (Object.keys(next.spec).length === 0) return false;
    [title.textContent, words.textContent] = [next.title, next.words];
    waiting.push({ plot, spec: next.spec });
    return true;
  };
  return node;
}

// Draws one chart at once, in an element that is already in the page.
export async function draw(plot, spec) {
  if ((loaded !== null && !(await loaded)) || !plot.isConnected) return;
  views.get(plot)?.finalize();
  if (plot.firstChild) plot.style.setProperty("min-height", `${plot.offsetHeight}px`); // nothing below it jumps
  const options = { mode: "vega-lite", ast: true, actions: false, renderer: "svg", defaultStyle: false, config, tooltip };
  views.set(plot, await window.vegaEmbed(plot, spec, options));
  plot.querySelector("svg").setAttribute("aria-hidden", "true"); // the plot around it is the image, with its words
}

// Draws what is in view; the rest when the browser is idle, so that the page opens at once.
export async function drawWaiting() {
  const near = ({ plot }) => plot.getBoundingClientRect().top < window.innerHeight;
  const ordered = waiting.splice(0).map((each) => [near(each) ? 0 : 1, each]);
  for (const [, each] of ordered.filter(([late]) => !late)) await draw(each.plot, each.spec);
  document.body.dataset.ready = "true";
  for (const [, each] of ordered.filter(([late]) => late)) {
    await new Promise((resolve) => setTimeout(resolve));
    await draw(each.plot, each.spec);
  }
  document.body.dataset.charts = "drawn";
}

const tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });

function tooltip(handler, event, item, value) {
  if (value === null || value === undefined || value === "") {
    tip.hidden = true;
    return;
  }
  const pairs = typeof value === "object" ? Object.entries(value) : [["", value]];
  tip.replaceChildren(...pairs.map(([name, each]) => el("div", {}, name ? `${name}: ${each}` : String(each))));
  const host = document.querySelector("dialog[open]") ?? document.body;
  if (tip.parentNode !== host) host.append(tip);
  tip.hidden = false;
  const left = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8);
  tip.style.setProperty("left", `${Math.max(4, left)}px`);
  tip.style.setProperty("top", `${event.clientY + 14}px`);
}
