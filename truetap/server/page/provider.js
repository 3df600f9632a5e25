// Samples out of the server: keys are "phase:id"; inputs that have come stay at hand.

import { el } from "./dom.js";
import { shown } from "./numbers.js";
import { openDialog, openSample } from "./samples.js";
import { ask, once } from "./asking.js";
import { go, state } from "./state.js";
import { sampleList } from "./list.js";

const MOST_KEPT = 5000;
const inputs = new Map(); // by run and key
let asked = new Set();

const split = (key) => {
  const at = key.indexOf(":");
  return { phase: key.slice(0, at), id: key.slice(at + 1) };
};
const told = (run, key) => `${run || 0} ${key}`;

export function fromServer(place) {
  const found = {
    brief: (key) => ({ name: split(key).id, inputs: inputs.get(told(state().run, key)) ?? [] }),
    whole: async (key) => {
      const { phase, id } = split(key);
      const run = state().run || 0;
      const sample = await once(`runs/${run}/sample`, { phase, id });
      const words = `Its loss over ${shown(sample.visits.length)} recorded visits; the numbers are in the table below.`;
      return { ...sample, chart: Object.keys(sample.chart).length ? { spec: sample.chart, words } : null };
    },
    open: (key) => go({ sample: key }),
    opens: (cell) => Boolean(cell.rows),
    openCell: (title, cell) => go({ cell: `${cell.rows.true},${cell.rows.pred}`, sample: "" }),
    // The dialog that the address asks for; none where it asks for none.
    show: (title) => {
      const now = state();
      if (now.sample) openSample(now.sample, now.cell ? () => go({ sample: "" }) : undefined);
      else if (now.cell) showCell(title, now.cell, place());
      else document.getElementById("dialog").close();
    },
  };
  return found;
}

// All samples of a cell, in pages.
function showCell(title, cell, place) {
  const [truth, pred] = cell.split(",");
  const wanted = { sort: "loss", order: "desc", page: 0 };
  const list = sampleList("Its samples", (changes) => {
    Object.assign(wanted, changes);
    fill();
  });
  const said = el("p", { class: "soft", role: "status" }, "Being read…");
  openDialog(title, [said, list.node]);
  fill();

  async function fill() {
    const run = state().run || 0;
    const { phase, epoch, output } = place;
    try {
      const found = await ask(`runs/${run}/samples`, { phase, epoch, output, true: truth, pred, ...wanted });
      said.textContent = "";
      list.fill(found, { phase, epoch, run, ...wanted });
    } catch (error) {
      said.textContent = error.message;
    }
  }
}

// Gets the inputs of samples that are not at hand; true where any came.
export async function fetchInputs(run, phase, epoch, ids) {
  const missing = ids.filter((id) => !asked.has(`${run} ${phase} ${id}`));
  if (missing.length === 0) return false;
  if (asked.size > MOST_KEPT) {
    asked = new Set();
    inputs.clear();
  }
  missing.forEach((id) => asked.add(`${run} ${phase} ${id}`));
  try {
    const found = await once(`runs/${run || 0}/inputs`, { phase, epoch, ids: JSON.stringify(missing) });
    Object.entries(found.samples).forEach(([id, sample]) => inputs.set(told(run, `${phase}:${id}`), sample.inputs));
    return Object.keys(found.samples).length > 0;
  } catch {
    return false; // a list without pictures is still a list
  }
}
