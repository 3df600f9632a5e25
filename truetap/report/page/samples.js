// Samples: buttons that open them, and the dialog in which one, or those of a cell, are looked at.

import { draw } from "./charts.js";
import { el, fresh } from "./dom.js";
import { excerpt, thumbnail, whole } from "./inputs.js";
import { plural, shown } from "./numbers.js";

let source = null;

// Where samples come from: what the report holds, or a server that is asked. It has
//   brief(key): name and inputs as far as they are at hand, undefined of a sample that can't be opened
//   whole(key): the sample, or a promise of it, with `chart`: a specification and words, or null
//   open(key, back): what a click on its button does
//   opens(cell), openCell(title, cell): whether the samples of a cell can be looked at, and where
export function know(given) {
  source = given;
}

// Samples that the page holds itself.
export function embedded({ samples, history }) {
  const found = {
    brief: (key) => samples[key],
    whole: (key) => ({ ...samples[key], chart: lossesOf(samples[key], history) }),
    open: openSample,
    opens: (cell) => cell.samples.length > 0,
    openCell: (title, cell) => {
      const known = cell.samples.filter((key) => samples[key] !== undefined);
      const again = () => found.openCell(title, cell);
      const all = plural(cell.count, "sample");
      const said = known.length < cell.count ? `${all}, ${shown(known.length)} of them here.` : `${all}.`;
      const items = known.map((key) => el("li", {}, sampleButton(key, again), lastVisit(samples[key])));
      openDialog(title, [el("p", {}, said), el("ul", { class: "samples" }, ...items)]);
    },
  };
  return found;
}

export function sampleName(key) {
  return source.brief(key)?.name ?? key;
}

export function opens(cell) {
  return source.opens(cell);
}

export function openCell(title, cell) {
  source.openCell(title, cell);
}

// The button of a sample; text where it can't be opened.
export function sampleButton(key, back) {
  const sample = source.brief(key);
  if (sample === undefined) return el("span", {}, "not in this report");
  const label = `Open sample ${sample.name}`;
  const name = el("span", { class: "name" }, sample.name);
  const click = () => source.open(key, back);
  return el("button", { type: "button", class: "open", "aria-label": label, click }, thumbnail(sample.inputs), name, excerpt(sample.inputs));
}

function lastVisit(sample) {
  const last = sample.visits.at(-1);
  return el("span", { class: "soft" }, last === undefined ? "" : `loss ${shown(last[2])}`);
}

export function openSample(key, back) {
  const found = source.whole(key);
  if (!(found instanceof Promise)) {
    showSample(found, back);
    return;
  }
  const waiting = el("p", { role: "status" }, "Being read…");
  const mine = openDialog(`Sample ${sampleName(key)}`, [waiting], back);
  const still = () => document.getElementById("dialog").open && mine.isConnected;
  found.then(
    (sample) => still() && showSample(sample, back),
    (error) => still() && waiting.replaceChildren(error.message),
  );
}

function showSample(sample, back) {
  const inputs = sample.inputs.map((input) => whole(input, sample.name));
  const none = el("p", { class: "soft" }, 'Its input was not recorded: a recorder with tt.Inputs(samples=…) or taps="diagnose" keeps some.');
  const shownInputs = el("div", { class: "inputs" }, ...(inputs.length ? inputs : [none]));
  const plot = sample.chart === null ? null : el("div", { class: "plot", role: "img", "aria-label": sample.chart.words });
  openDialog(`Sample ${sample.name}`, [el("p", { class: "soft" }, `of phase ${sample.phase}`), shownInputs, plot, visits(sample)], back);
  if (plot !== null) draw(plot, sample.chart.spec);
}

// The chart of a sample's losses; null where there is no more than one.
function lossesOf(sample, history) {
  const losses = sample.visits.filter((visit) => visit[2] !== null);
  if (losses.length < 2) return null;
  const values = losses.map((visit) => ({ x: visit[0], y: visit[2] }));
  const spec = structuredClone({ ...history, data: { values } });
  const epochs = [...new Set(values.map((value) => value.x))];
  if (epochs.length <= 12) spec.encoding.x.axis.values = epochs;
  return { spec, words: historyWords(sample) };
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
export function openDialog(title, parts, back) {
  const dialog = document.getElementById("dialog");
  const heading = el("h2", { id: "dialog-title", tabindex: -1, class: "name" }, title);
  const backwards = back === undefined ? null : el("button", { type: "button", click: back }, "Back");
  const close = el("button", { type: "button", click: () => dialog.close() }, "Close");
  dialog.replaceChildren(el("div", { class: "bar" }, heading, el("div", { class: "actions" }, backwards, close)), ...parts.filter(Boolean));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  heading.focus();
  return heading;
}

export function closeByBackdrop() {
  const dialog = document.getElementById("dialog");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
