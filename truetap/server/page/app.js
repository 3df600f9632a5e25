// The page of the server: what is looked at is asked for, and asked for again when the run has changed.

import { configure, drawWaiting } from "./charts.js";
import { el, keepingFocus } from "./dom.js";
import { shown } from "./numbers.js";
import { facts, findingNodes } from "./parts.js";
import { closeByBackdrop, know } from "./samples.js";
import { followTheme } from "./theme.js";
import { ask, once, Silence } from "./asking.js";
import { fillChoices, filters, placeOf } from "./choosing.js";
import { classesPart } from "./classes.js";
import { runsViews } from "./compare.js";
import { sampleList } from "./list.js";
import { fetchInputs, fromServer } from "./provider.js";
import { View } from "./sections.js";
import { go, listen, state } from "./state.js";

const OFTEN = 1000;
const SELDOM = 4000;
const SLOW = 8000;
const PICTURED = 50;

const views = Object.fromEntries(
  [
    ["findings", "Findings", "Findings"],
    ["curves", "Curves", "Curves"],
    ["output", "What came out", "Output"],
    ["samples", "Samples", "Samples"],
    ["hardest", "Hardest samples", "Hardest"],
    ["labels", "Labels that are probably wrong", "Labels"],
    ["layers", "Layers", "Layers"],
    ["cost", "What recording cost", "Cost"],
  ].map(([anchor, heading, short]) => [anchor, new View(anchor, heading, short)]),
);
let runs = [];
let overview = null;
let several = null;
let [layersAt, exactAt] = [0, 0];
let kind = "";

const place = () => placeOf(overview);
const path = () => `runs/${state().run || 0}`;
const provider = fromServer(place);
know(provider);

// --- the views ----------------------------------------------------------------------------------------

const glance = el("div");
const exact = new View("exact", "Exact metrics");
const classes = classesPart(() => ({ path: path(), given: place() }));
const exactPlace = el("div", { class: "exact" }, exact.state, exact.body);
exact.node = exactPlace;
views.output.body.append(el("div", {}, glance, exactPlace), classes.node);

const choice = filters();
const list = sampleList("Samples", (changes) => go(changes));
views.samples.body.append(choice.node, list.node);

function refreshOutput(all = true) {
  views.output.refresh(`${path()}/output`, place(), (found) => {
    kind = found.kind;
    views.output.put(found.section, glance);
    classes.show(found);
    choice.show(kind);
  });
  if (!all && performance.now() - exactAt < SLOW) return; // of an epoch that grows every second it would never rest
  exactAt = performance.now();
  exact.refresh(`${path()}/exact`, place(), (found) => exact.put(found.section));
}

views.output.failed = (error) => {
  views.output.text = null;
  glance.drawn = null;
  glance.replaceChildren();
  classes.node.replaceChildren();
  views.output.said(error.message);
};

function refreshSamples() {
  const { true: truth, pred, wrong, flagged, find, sort, order, page, run } = state();
  const given = { ...place(), true: truth, pred, wrong, flagged, find, sort, order, page };
  choice.show(kind);
  views.samples.refresh(`${path()}/samples`, given, (found) => list.fill(found, { ...place(), sort, order, run: run || 0 }));
}

views.samples.failed = (error) => {
  views.samples.text = null;
  list.fill({ columns: [], rows: [], total: 0, page: 0, size: 50 }, place());
  views.samples.said(error.message);
};

function refreshSlow() {
  const output = place().output;
  views.findings.refresh(`${path()}/findings`, {}, (found) => {
    const draw = () => views.findings.body.replaceChildren(el("p", { class: "soft" }, found.verdict), ...findingNodes(found));
    draw();
    pictured(found.findings.flatMap((each) => each.samples), views.findings, draw);
  });
  for (const name of ["hardest", "labels"]) {
    views[name].refresh(`${path()}/${name}`, { output }, ({ section }) => {
      views[name].put(section);
      const rows = section?.parts.flatMap((part) => part.rows) ?? [];
      pictured(rows.map((row) => row[0]), views[name], () => views[name].put(section));
    });
  }
}

// Draws again when small pictures of the first of these samples have come.
async function pictured(keys, view, draw) {
  const first = keys.slice(0, PICTURED).map((key) => key.split(/:(.*)/s));
  const run = state().run || 0;
  const turn = view.turn;
  for (const phase of new Set(first.map(([each]) => each))) {
    const ids = first.filter(([each]) => each === phase).map(([, id]) => id);
    const any = await fetchInputs(run, phase, overview?.phases[phase]?.at(-1) ?? "", ids);
    if (any && turn === view.turn) keepingFocus(view.node, draw);
  }
}

function refreshQuick(all = false) {
  for (const name of ["curves", "cost"]) views[name].refresh(`${path()}/${name}`, {}, (found) => shownOrNot(name, found.section));
  if (all || performance.now() - layersAt > SLOW) {
    layersAt = performance.now();
    views.layers.refresh(`${path()}/layers`, {}, (found) => views.layers.put(found.section));
  }
}

// Sections of which the run has nothing are left out.
function shownOrNot(name, section) {
  views[name].put(section);
  views[name].node.hidden = section === null;
  const entry = document.querySelector(`#contents a[href="#${name}"]`);
  if (entry) entry.parentNode.hidden = section === null;
}

async function refreshOverview() {
  const found = await ask(path());
  if (found.name === undefined) return false;
  const epochsBefore = overview === null ? "" : JSON.stringify([overview.phases, overview.epochs, overview.complete]);
  overview = found;
  document.title = `${found.name}: truetap`;
  text("title", found.name);
  text("said", found.said);
  const plain = JSON.stringify(found.facts);
  const node = document.getElementById("facts");
  if (node.dataset.text !== plain) {
    node.dataset.text = plain;
    node.replaceChildren(...facts(found.facts));
  }
  const followed = document.getElementById("following");
  followed.classList.toggle("live", !found.complete);
  text("following", found.complete ? "" : `following: ${lastEpoch(found)}`);
  fillChoices(document.getElementById("choices"), runs, found);
  return JSON.stringify([found.phases, found.epochs, found.complete]) !== epochsBefore;
}

function lastEpoch(found) {
  const pairs = Object.entries(found.phases).map(([phase, epochs]) => `${phase} epoch ${shown(epochs.at(-1))}`);
  return pairs.join(", ") || "no batch yet";
}

function text(id, words) {
  const node = document.getElementById(id);
  if (node.textContent !== words) node.textContent = words;
}

async function refreshAll() {
  overview = null;
  await refreshOverview();
  refreshQuick(true);
  if (overview.looked === null) {
    for (const name of ["output", "samples", "hardest", "labels"]) views[name].said("No samples are recorded yet.");
  } else {
    refreshOutput();
    refreshSamples();
  }
  refreshSlow();
  several?.refresh();
  showDialog();
}

// --- the address --------------------------------------------------------------------------------------

listen(async (now, before) => {
  const changed = (...keys) => keys.some((key) => now[key] !== before[key]);
  try {
    if (changed("run")) return await refreshAll();
    if (changed("phase", "epoch", "output")) {
      fillChoices(document.getElementById("choices"), runs, overview);
      refreshOutput();
    }
    if (changed("output")) refreshSlow();
    if (changed("phase", "epoch", "output", "true", "pred", "wrong", "flagged", "find", "sort", "order", "page")) refreshSamples();
    if (changed("classes")) classes.again();
    if (changed("with")) several?.refresh();
    if (changed("sample", "cell")) showDialog();
  } catch (error) {
    trouble(error);
  }
});

function showDialog() {
  const { cell } = state();
  const [truth, pred] = cell.split(",");
  const kinds = { 1: "wrongly given", 2: "missed", 3: "rightly given" };
  provider.show(kind === "labels" ? `label ${truth}: ${kinds[pred]}` : `true ${truth}, predicted ${pred}`);
}

document.getElementById("dialog").addEventListener("close", () => {
  const { sample, cell } = state();
  if (sample || cell) go({ sample: "", cell: "" });
});

// --- following ----------------------------------------------------------------------------------------

function trouble(error) {
  const node = document.getElementById("trouble");
  const words = error === null ? "" : error instanceof Silence ? "The server doesn't answer; it is asked again every few seconds." : error.message;
  if (node.textContent !== words) node.textContent = words;
  node.hidden = words === "";
  if (error !== null && !(error instanceof Silence) && error.said === undefined) throw error; // a fault of the page itself
}

async function follow() {
  let known = null;
  let run = null;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, overview !== null && !overview.complete && !document.hidden ? OFTEN : SELDOM));
    try {
      const now = state().run;
      const { stamp } = await once(`${path()}/stamp`);
      if (document.getElementById("trouble").hidden === false) {
        trouble(null);
        known = null;
      }
      if (known !== null && run === now && known !== stamp) {
        const epochs = await refreshOverview();
        refreshQuick(epochs);
        if (overview.looked !== null) {
          refreshOutput(epochs);
          refreshSamples();
        }
        if (epochs) {
          refreshSlow();
          several?.refresh();
        }
      }
      [known, run] = [stamp, now];
    } catch (error) {
      trouble(error);
    }
  }
}

// --- beginning ----------------------------------------------------------------------------------------

function begin(found) {
  runs = found.runs;
  text("version", found.version);
  const missing = () => {
    trouble(new Silence("The charts can't be loaded."));
    return false;
  };
  configure(found.config, import("./vega.js").then(() => true, missing));
  const shownViews = Object.values(views);
  if (runs.length > 1) {
    several = runsViews(runs);
    shownViews.push(...several.views);
  }
  document.getElementById("main").append(...shownViews.map((each) => each.node));
  const entries = shownViews.map((each) => el("li", {}, el("a", { href: `#${each.anchor}`, class: "name" }, each.short)));
  document.getElementById("contents").append(...entries);
}

followTheme();
closeByBackdrop();

try {
  begin(await once("runs"));
  await refreshAll();
} catch (error) {
  trouble(error);
}
document.body.dataset.begun = "true";
drawWaiting();
follow();
