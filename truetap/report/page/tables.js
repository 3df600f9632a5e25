// Tables: sorted by a click on a head, filtered by text, long ones cut until all is asked for.

import { el, fresh, keepingFocus } from "./dom.js";
import { plural, shown } from "./numbers.js";
import { openCell, opens, sampleButton, sampleName } from "./samples.js";

const FIRST_ROWS = 15;
const FILTERED_FROM = 20;

export function table(given) {
  let part = given;
  const state = { sorted: null, descending: false, words: "", all: false };
  const body = el("tbody");
  const titled = fresh("table");
  const heads = part.columns.map((column, at) => head(column, () => sort(at)));
  const more = el("button", { type: "button", class: "more", click: showAll });
  const count = el("p", { class: "soft count", role: "status" });
  const grid = el(
    "table",
    {},
    el("caption", { id: titled, class: "name" }, part.title),
    el("thead", {}, el("tr", {}, ...heads)),
    body,
  );
  const scroll = el("div", { class: "scroll", role: "region", "aria-labelledby": titled, tabindex: 0 }, grid);
  const filter = part.rows.length >= FILTERED_FROM ? filterField(part.title) : null;
  fill();
  const node = el("div", { class: "table" }, filter, scroll, count, more);
  node.renew = renew;
  return node;

  // The same table with other rows: sorted and filtered as it is.
  function renew(next) {
    const heads = ({ columns }) => columns.map((column) => column.title).join("\n");
    if (heads(next) !== heads(part) || (filter === null) !== next.rows.length < FILTERED_FROM) return false;
    part = next;
    grid.caption.textContent = part.title;
    keepingFocus(body, fill);
    return true;
  }

  function filterField(title) {
    const field = el("input", { type: "search", "aria-label": `Filter: ${title}`, placeholder: "Filter" });
    field.addEventListener("input", () => {
      state.words = field.value.toLowerCase();
      fill();
    });
    return el("div", { class: "filter" }, field);
  }

  function sort(at) {
    const numeric = part.columns[at].kind !== "text";
    state.descending = state.sorted === at ? !state.descending : numeric;
    state.sorted = at;
    heads.forEach((each, place) => {
      const order = state.descending ? "descending" : "ascending";
      each.setAttribute("aria-sort", place === at ? order : "none");
    });
    fill();
  }

  function showAll() {
    state.all = true;
    fill();
    scroll.focus();
  }

  function fill() {
    const rows = part.rows.filter((row) => state.words === "" || textOf(row).includes(state.words));
    if (state.sorted !== null) rows.sort((one, other) => compare(one[state.sorted], other[state.sorted]));
    const kept = state.all ? rows : rows.slice(0, FIRST_ROWS);
    body.replaceChildren(...kept.map(line));
    more.hidden = kept.length === rows.length;
    more.textContent = `Show all ${shown(rows.length)}`;
    count.textContent = state.words === "" ? "" : `${plural(rows.length, "row")} of ${shown(part.rows.length)}`;
  }

  function line(row) {
    return el("tr", {}, ...row.map((value, at) => cell(part.columns[at], value, at, row)));
  }

  function cell(column, value, at, row) {
    const tag = at === 0 ? "th" : "td";
    const attributes = { scope: at === 0 ? "row" : null, class: column.kind };
    if (column.kind === "sample") return el(tag, attributes, sampleButton(value));
    if (column.kind === "cell") return el(tag, attributes, opened(value, row));
    return el(tag, attributes, shown(value));
  }

  function opened(value, row) {
    if (!opens(value)) return shown(value.count);
    const title = `true ${row[0]}, predicted ${row[1]}`;
    const click = () => openCell(title, value);
    return el("button", { type: "button", "aria-label": `${title}: open ${plural(value.count, "sample")}`, click }, shown(value.count));
  }

  function compare(one, other) {
    const [left, right] = [plain(one), plain(other)];
    if (left === null || right === null) return (left === null) - (right === null);
    const order = typeof left === "number" && typeof right === "number" ? left - right : natural(left, right);
    return state.descending ? -order : order;
  }

  function plain(value) {
    return value !== null && typeof value === "object" ? value.count : value;
  }

  function textOf(row) {
    const words = row.map((value, at) => (part.columns[at].kind === "sample" ? sampleName(value) : shown(plain(value))));
    return words.join(" ").toLowerCase();
  }
}

function head(column, click) {
  const sorter = el("button", { type: "button", click }, column.title);
  return el("th", { scope: "col", class: column.kind, "aria-sort": "none" }, sorter);
}

function natural(left, right) {
  return String(left).localeCompare(String(right), "en", { numeric: true });
}

// A matrix whose rows are true classes and whose columns are predicted ones.
export function confusion(part) {
  const node = el("div", { class: "scroll", role: "region", tabindex: 0 });
  node.renew = (next) => {
    keepingFocus(node, () => fillMatrix(node, next));
    return true;
  };
  fillMatrix(node, part);
  return node;
}

function fillMatrix(node, part) {
  const titled = fresh("matrix");
  const top = part.names.map((name) => el("th", { scope: "col", class: "name" }, name));
  const lines = part.cells.map((line, at) => {
    const whole = line.reduce((sum, each) => sum + each.count, 0);
    const cells = line.map((each, place) => square(part, each, at, place, whole));
    return el("tr", {}, el("th", { scope: "row", class: "name" }, part.names[at]), ...cells);
  });
  const grid = el(
    "table",
    { class: "matrix" },
    el("caption", { id: titled }, part.title),
    el("thead", {}, el("tr", {}, el("td", { class: "corner" }, "true \\ predicted"), ...top)),
    el("tbody", {}, ...lines),
  );
  node.setAttribute("aria-labelledby", titled);
  node.replaceChildren(grid);
}

function square(part, cell, at, place, whole) {
  const node = el("td", { class: at === place ? "right" : "wrong" });
  node.style.setProperty("--share", `${Math.round(whole > 0 ? (55 * cell.count) / whole : 0)}%`);
  if (!opens(cell)) {
    node.append(el("span", { class: cell.count === 0 ? "none" : "" }, shown(cell.count)));
    return node;
  }
  const title = `true ${part.names[at]}, predicted ${part.names[place]}`;
  const label = `${title}: open ${plural(cell.count, "sample")}`;
  node.append(el("button", { type: "button", "aria-label": label, click: () => openCell(title, cell) }, shown(cell.count)));
  return node;
}
