// Classes: the matrix of few, or of those that are chosen; the most confused pairs; each class against the others.

import { el, fresh, keepingFocus } from "./dom.js";
import { shown } from "./numbers.js";
import { confusion } from "./tables.js";
import { openCell, opens } from "./samples.js";
import { ask } from "./asking.js";
import { go, state } from "./state.js";

// A part of the output's view that is asked for by itself. `where` gives path and parameters of the output.
export function classesPart(where) {
  const chosen = chosenMatrix(where);
  const pairs = paged(where, "pairs", "The most confused pairs", PAIRS, pairLine);
  const each = paged(where, "classes", "Each class against the others", CLASSES, classLine, true);
  const node = el("div", { class: "classes" });
  let kind = null;

  function show(found) {
    const labels = found.kind === "labels";
    node.classList.toggle("wide", labels);
    const now = `${found.kind} ${found.classes > 25} ${found.matrix !== null}`;
    if (now !== kind) {
      kind = now;
      const many = !labels && found.matrix === null && found.classes > 1;
      const there = found.kind === "classes" || found.kind === "positions" || labels;
      node.replaceChildren(...(there ? [found.matrix && (node.matrix = confusion(found.matrix)), many && chosen.node, many && pairs.node, each.node].filter(Boolean) : []));
      if (many) chosen.read();
    } else if (found.matrix) node.matrix.renew(found.matrix);
    if (node.contains(pairs.node)) pairs.read();
    if (node.contains(each.node)) each.read();
  }

  return { node, show, again: chosen.read };
}

function chosenMatrix(where) {
  const field = el("input", { type: "text", id: fresh("field"), size: 40, maxlength: 400 });
  const said = el("p", { class: "soft", role: "status" });
  const place = el("div");
  const submit = (event) => {
    event.preventDefault();
    go({ classes: field.value });
  };
  const label = el("label", { for: field.id }, "Matrix of the classes (names or numbers, with commas): ");
  const form = el("form", { class: "filters", submit }, label, field, el("button", { type: "submit" }, "Show"));
  const node = el("div", {}, form, said, place);

  async function read() {
    const { classes } = state();
    if (document.activeElement !== field) field.value = classes;
    if (!classes) {
      place.replaceChildren();
      said.textContent = "";
      return;
    }
    const { path, given } = where();
    try {
      const found = await ask(`${path}/matrix`, { ...given, classes });
      said.textContent = "";
      keepingFocus(place, () => place.replaceChildren(confusion(found.matrix)));
    } catch (error) {
      said.textContent = error.message;
    }
  }

  return { node, read };
}

const PAIRS = ["true", "predicted", "samples", "share of the true class"].map((title) => [null, title]);
const CLASSES = [["name", "class"], ["support", "support"], ["predicted", "predicted"], ["precision", "precision"], ["recall", "recall"], ["f1", "f1"]];
const KINDS = [[1, "wrongly given"], [2, "missed"], [3, "rightly given"]];

function pairLine([truth, pred, cell, share]) {
  const title = `true ${truth}, predicted ${pred}`;
  const label = `${title}: open ${shown(cell.count)} samples`;
  const button = el("button", { type: "button", "aria-label": label, click: () => openCell(title, cell) }, shown(cell.count));
  const count = opens(cell) ? button : shown(cell.count);
  const head = el("th", { scope: "row", class: "text" }, truth);
  return el("tr", {}, head, el("td", { class: "text" }, pred), el("td", { class: "cell" }, count), el("td", { class: "number" }, shown(share)));
}

function classLine([name, ...numbers], label, kind) {
  const cells = numbers.map((value) => el("td", { class: "number" }, shown(value)));
  const open = ([code, words]) =>
    el("button", { type: "button", "aria-label": `Label ${name}: open those ${words}`, click: () => go({ cell: `${label},${code}`, sample: "" }) }, words);
  const buttons = kind === "labels" ? [el("td", {}, el("div", { class: "row" }, ...KINDS.map(open)))] : [];
  return el("tr", {}, el("th", { scope: "row", class: "text" }, name), ...cells, ...buttons);
}

// A table whose pages the server sorts and cuts.
function paged(where, path, title, columns, line, findable = false) {
  const titled = fresh("paged");
  const wanted = { page: 0, sort: "", order: "", find: "" };
  const head = el("tr");
  const body = el("tbody");
  const grid = el("table", {}, el("caption", { id: titled }, title), el("thead", {}, head), body);
  const scroll = el("div", { class: "scroll", role: "region", "aria-labelledby": titled, tabindex: 0 }, grid);
  const said = el("p", { class: "soft", role: "status" });
  const turn = (by) => () => {
    wanted.page += by;
    read();
  };
  const before = el("button", { type: "button", click: turn(-1) }, "Previous");
  const after = el("button", { type: "button", click: turn(1) }, "Next");
  const turning = el("div", { class: "actions turning" }, before, after);
  const field = el("input", { type: "search", "aria-label": `Find in: ${title}`, placeholder: "Find a class" });
  field.addEventListener("input", () => {
    Object.assign(wanted, { find: field.value, page: 0 });
    read();
  });
  const node = el("div", { class: "table" }, findable ? el("div", { class: "filter" }, field) : null, scroll, said, turning);
  let last = 0;

  async function read() {
    last += 1;
    const mine = last;
    const { path: run, given } = where();
    try {
      const found = await ask(`${run}/${path}`, { ...given, ...wanted });
      if (mine === last) fill(found);
    } catch (error) {
      if (mine === last) said.textContent = error.message;
    }
  }

  function fill(found) {
    keepingFocus(head, () => head.replaceChildren(...columns.map(([name, text]) => sorter(name, text)), ...(found.kind === "labels" ? [el("th", { scope: "col" }, "open")] : [])));
    keepingFocus(body, () => body.replaceChildren(...found.rows.map((row, at) => line(row, found.labels?.[at], found.kind))));
    const pages = Math.max(1, Math.ceil(found.total / found.size));
    const words = pages > 1 || wanted.find ? `${shown(found.total)} in all, page ${shown(found.page + 1)} of ${shown(pages)}.` : "";
    if (said.textContent !== words) said.textContent = words;
    [before.disabled, after.disabled, turning.hidden] = [found.page === 0, found.page + 1 >= pages, pages === 1];
    if (findable) field.parentNode.hidden = pages === 1 && !wanted.find && found.total < 20;
  }

  function sorter(name, text) {
    const kind = name === "name" || ["true", "predicted"].includes(text) && name === null ? "text" : "number";
    if (name === null) return el("th", { scope: "col", class: kind }, text);
    const sorted = wanted.sort === name;
    const click = () => {
      const descending = sorted ? wanted.order !== "desc" : name !== "name";
      Object.assign(wanted, { sort: name, order: descending ? "desc" : "asc", page: 0 });
      read();
    };
    const direction = sorted ? (wanted.order === "desc" ? "descending" : "ascending") : "none";
    return el("th", { scope: "col", class: kind, "aria-sort": direction }, el("button", { type: "button", click }, text));
  }

  return { node, read };
}
