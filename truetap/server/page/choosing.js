// What is looked at: run, phase, epoch, output; and which samples.

import { el, fresh, keepingFocus } from "./dom.js";
import { go, state } from "./state.js";

const FEW = 400;
const PHASES = { train: "training", val: "validation", test: "test", predict: "prediction" };

// The choices in the bar, for an overview of the run.
export function fillChoices(node, runs, overview) {
  const now = state();
  const made = [];
  if (runs.length > 1) {
    made.push(chooser("Run", runs.map((each) => [String(each.number), each.name]), now.run || "0", (run) => go({ ...NOTHING, run })));
  }
  const phases = Object.keys(overview?.phases ?? {});
  if (phases.length) {
    const place = placeOf(overview);
    made.push(chooser("Phase", phases.map((phase) => [phase, PHASES[phase] ?? phase]), place.phase, (phase) => go({ phase, epoch: "", page: "" })));
    made.push(epochs(overview.phases[place.phase] ?? [], now.epoch));
  }
  if ((overview?.outputs ?? []).length > 1) {
    const named = overview.outputs.map((name, at) => [String(at), name]);
    made.push(chooser("Output", named, now.output || "0", (output) => go({ output, true: "", pred: "", page: "", sort: "", order: "", classes: "" })));
  }
  const text = JSON.stringify([now.run, now.phase, now.epoch, now.output, overview?.phases, runs.length]);
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  keepingFocus(node, () => node.replaceChildren(...made));
  node.hidden = made.length === 0;
}

const NOTHING = Object.fromEntries(["phase", "epoch", "output", "true", "pred", "wrong", "flagged", "find", "sort", "order", "page", "classes", "cell", "sample", "with"].map((key) => [key, ""]));

// The phase, epoch and output that are looked at; no epoch of a collection.
export function placeOf(overview) {
  const now = state();
  const phases = overview?.phases ?? {};
  if (!Object.keys(phases).length) return { phase: "", epoch: "", output: now.output || "0" };
  const phase = now.phase in phases ? now.phase : (overview.looked?.phase ?? Object.keys(phases)[0]);
  const known = phases[phase].map(String);
  const epoch = known.includes(now.epoch) ? now.epoch : known.at(-1);
  return { phase, epoch, output: now.output || "0" };
}

function epochs(numbers, chosen) {
  const last = numbers.at(-1);
  if (numbers.length <= FEW) {
    const options = [["", `the last (${last})`], ...numbers.map((number) => [String(number), String(number)])];
    return chooser("Epoch", options, numbers.map(String).includes(chosen) ? chosen : "", (epoch) => go({ epoch, page: "" }));
  }
  const id = "choose-epoch";
  const field = el("input", { type: "number", id, min: numbers[0], max: last, value: chosen, placeholder: `the last (${last})` });
  field.addEventListener("change", () => go({ epoch: numbers.includes(Number(field.value)) ? field.value : "", page: "" }));
  return el("div", { class: "choice" }, el("label", { for: id }, "Epoch"), field);
}

function chooser(name, options, chosen, change) {
  const id = `choose-${name.toLowerCase()}`;
  const field = el("select", { id }, ...options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  field.addEventListener("change", () => change(field.value));
  return el("div", { class: "choice" }, el("label", { for: id }, name), field);
}

// Filters of the samples' list; they write to the address.
export function filters() {
  const search = el("input", { type: "search", id: fresh("find"), placeholder: "begins with…", maxlength: 200 });
  const truth = classField("true class");
  const pred = classField("predicted class");
  const wrong = box("only wrong", "wrong");
  const flagged = box("only labels that are flagged", "flagged");
  const clear = el("button", { type: "button", click: () => go({ true: "", pred: "", wrong: "", flagged: "", find: "", page: "" }) }, "Clear");
  let typing = null;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => go({ find: search.value, page: "" }, true), 150);
  });
  truth.field.addEventListener("change", () => go({ true: truth.field.value, page: "" }));
  pred.field.addEventListener("change", () => go({ pred: pred.field.value, page: "" }));
  const label = el("label", { for: search.id }, "Sample ");
  const node = el("form", { class: "filters", role: "search", "aria-label": "Which samples", submit: (event) => event.preventDefault() }, el("span", {}, label, search), truth.node, pred.node, wrong.node, flagged.node, clear);

  function show(kind) {
    const now = state();
    if (document.activeElement !== search) search.value = now.find;
    for (const [each, value] of [[truth, now.true], [pred, now.pred]]) if (document.activeElement !== each.field) each.field.value = value;
    [wrong.field.checked, flagged.field.checked] = [now.wrong === "1", now.flagged === "1"];
    const ofClasses = kind === "classes" || kind === "positions";
    truth.node.hidden = pred.node.hidden = !ofClasses;
    wrong.node.hidden = !(ofClasses || kind === "labels");
    flagged.node.hidden = !(kind === "classes" || kind === "labels");
    clear.hidden = !(now.true || now.pred || now.wrong || now.flagged || now.find);
  }

  return { node, show };
}

function classField(text) {
  const field = el("input", { type: "text", id: fresh("class"), size: 9, maxlength: 200, placeholder: "any" });
  return { field, node: el("span", {}, el("label", { for: field.id }, `${text} `), field) };
}

function box(text, key) {
  const field = el("input", { type: "checkbox", id: fresh("box") });
  field.addEventListener("change", () => go({ [key]: field.checked ? "1" : "", page: "" }));
  return { field, node: el("span", {}, field, el("label", { for: field.id }, ` ${text}`)) };
}
