// Samples: buttons that open them, and the dialog in which one, or those of a cell, are looked at.

import { draw } from "./charts.js";
import { el, fresh } from "./dom.js";
import { excerpt, thumbnail, whole } from "./inputs.js";
import { plural, shown } from "./numbers.js";

let samples = {};
let history = {};

export function know(content) {
  samples = content.samples;
  history = content.history;
}

export function sampleName(key) {
  return samples[key]?.name ?? key;
}

// The button of a sample; text where the report doesn't hold it.
export function sampleButton(key, back) {
  const sample = samples[key];
  if (sample === undefined) return el("span", {}, "not in this report");
  const label = `Open sample ${sample.name}`;
  const name = el("span", { class: "name" }, sample.name);
  const click = () => openSample(key, back);
  return el("button", { type: "button", class: "open", "aria-label": label, click }, thumbnail(sample.inputs), name, excerpt(sample.inputs));
}

export function openCell(title, cell) {
  const known = cell.samples.filter((key) => samples[key] !== undefined);
  const again = () => openCell(title, cell);
  const said = known.length < cell.count ? `${plural(cell.count, "sample")}, ${shown(known.length)} of them here.` : `${plural(cell.count, "sample")}.`;
  const items = known.map((key) => el("li", {}, sampleButton(key, again), lastVisit(samples[key])));
  open(title, [el("p", {}, said), el("ul", { class: "samples" }, ...items)]);
}

function lastVisit(sample) {
  const last = sample.visits.at(-1);
  return el("span", { class: "soft" }, last === undefined ? "" : `loss ${shown(last[2])}`);
}

export function openSample(key, back) {
  const sample = samples[key];
  const plot = el("div", { class: "plot", role: "img", "aria-label": historyWords(sample) });
  const inputs = sample.inputs.map((input) => whole(input, sample.name));
  const none = el("p", { class: "soft" }, 'Its input was not recorded: a recorder with tt.Inputs(samples=…) or taps="diagnose" keeps some.');
  const shownInputs = el("div", { class: "inputs" }, ...(inputs.length ? inputs : [none]));
  const losses = sample.visits.filter((visit) => visit[2] !== null);
  open(`Sample ${sample.name}`, [el("p", { class: "soft" }, `of phase ${sample.phase}`), shownInputs, losses.length > 1 ? plot : null, visits(sample)], back);
  if (losses.length > 1) {
    const values = losses.map((visit) => ({ x: visit[0], y: visit[2] }));
    const spec = structuredClone({ ...history, data: { values } });
    const epochs = [...new Set(values.map((value) => value.x))];
    if (epochs.length <= 12) spec.encoding.x.axis.values = epochs;
    draw(plot, spec);
  }
}

function historyWords(sample) {
  const losses = sample.visits.map((visit) => visit[2]);
  return `Its loss over ${plural(losses.length, "recorded visit")}: first ${shown(losses[0])}, last ${shown(losses.at(-1))}`;
}

function visits(sample) {
  const titled = fresh("history");
  const heads = sample.heads.map((title) => el("th", { scope: "col" }, title));
  const rows = sample.visits.map((visit) => {
    const cells = visit.map((value, at) => (at === 0 ? el("th", { scope: "row" }, shown(value)) : el("td", {}, shown(value))));
    return el("tr", {}, ...cells);
  });
  const caption = el("caption", { id: titled }, "What became of it, step by step");
  const grid = el("table", {}, caption, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
  return el("div", { class: "scroll history", role: "region", "aria-labelledby": titled, tabindex: 0 }, grid);
}

// The one dialog of the page: the browser keeps the focus in it, closes it by Escape and gives the focus back.
function open(title, parts, back) {
  const dialog = document.getElementById("dialog");
  const heading = el("h2", { id: "dialog-title", tabindex: -1, class: "name" }, title);
  const backwards = back === undefined ? null : el("button", { type: "button", click: back }, "Back");
  const close = el("button", { type: "button", click: () => dialog.close() }, "Close");
  dialog.replaceChildren(el("div", { class: "bar" }, heading, el("div", { class: "actions" }, backwards, close)), ...parts.filter(Boolean));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  heading.focus();
}

export function closeByBackdrop() {
  const dialog = document.getElementById("dialog");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
