// A list of samples in pages: sorted by its heads, each opened by a click, with small pictures of their inputs.

import { el, fresh, keepingFocus } from "./dom.js";
import { shown } from "./numbers.js";
import { sampleButton } from "./samples.js";
import { fetchInputs } from "./provider.js";

const HIGH_FIRST = ["loss", "error", "wrongs"];

// `change` is told what was clicked: {sort, order} or {page}.
export function sampleList(title, change) {
  const titled = fresh("samples");
  const caption = el("caption", { id: titled }, title);
  const head = el("tr");
  const body = el("tbody");
  const grid = el("table", { class: "listed" }, caption, el("thead", {}, head), body);
  const scroll = el("div", { class: "scroll", role: "region", "aria-labelledby": titled, tabindex: 0 }, grid);
  const count = el("p", { class: "soft", role: "status" });
  const first = turner("First page", () => change({ page: 0 }));
  const before = turner("Previous page", () => change({ page: page - 1 }));
  const after = turner("Next page", () => change({ page: page + 1 }));
  const turning = el("div", { class: "actions turning" }, first, before, after);
  const node = el("div", { class: "table" }, scroll, count, turning);
  let page = 0;

  // Rows of `phase` and `epoch`, as they were asked for by `sort` and `order`.
  function fill(found, { phase, epoch, sort, order, run }) {
    page = found.page;
    const pages = Math.max(1, Math.ceil(found.total / found.size));
    keepingFocus(head, () => head.replaceChildren(...heads(found.columns, sort || "loss", order)));
    keepingFocus(body, () => body.replaceChildren(...found.rows.map((row) => line(row, phase))));
    const from = found.total === 0 ? 0 : page * found.size + 1;
    const none = found.total === 0 ? "No sample is like that." : `${shown(from)} to ${shown(from + found.rows.length - 1)} of ${shown(found.total)} samples, page ${shown(page + 1)} of ${shown(pages)}.`;
    if (count.textContent !== none) count.textContent = none;
    keepingFocus(turning, () => {
      first.disabled = before.disabled = page === 0;
      after.disabled = page + 1 >= pages;
    });
    turning.hidden = pages === 1;
    fetchInputs(run, phase, epoch, found.rows.map((row) => row[0])).then((any) => {
      if (any) keepingFocus(body, () => body.replaceChildren(...found.rows.map((row) => line(row, phase))));
    });
  }

  function heads(columns, sort, order) {
    const titles = [["id", "sample"], ...columns];
    return titles.map(([name, text]) => {
      const sorted = name === sort;
      const descending = sorted && (order || (HIGH_FIRST.includes(name) ? "desc" : "asc")) === "desc";
      const click = () => {
        const highest = sorted ? !descending : HIGH_FIRST.includes(name);
        change({ sort: name, order: highest ? "desc" : "asc", page: 0 });
      };
      const kind = name === "id" ? "sample" : ["true", "predicted"].includes(name) ? "text" : "number";
      const direction = sorted ? (descending ? "descending" : "ascending") : "none";
      return el("th", { scope: "col", class: kind, "aria-sort": direction }, el("button", { type: "button", click }, text));
    });
  }

  return { node, fill };
}

function turner(text, click) {
  return el("button", { type: "button", click }, text);
}

function line([id, ...values], phase) {
  const cells = values.map((value) => el("td", { class: typeof value === "string" ? "text" : "number" }, shown(value)));
  return el("tr", {}, el("th", { scope: "row", class: "sample" }, sampleButton(`${phase}:${id}`)), ...cells);
}
