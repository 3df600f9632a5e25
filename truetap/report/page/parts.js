// Findings and sections.

import { chart } from "./charts.js";
import { el, link } from "./dom.js";
import { plural, shown } from "./numbers.js";
import { sampleButton } from "./samples.js";
import { confusion, table } from "./tables.js";

const DRAWN = { chart, table, confusion };

export function findings(content) {
  return section("findings", "Findings", [content.verdict], findingNodes(content));
}

export function findingNodes(content) {
  const listed = content.findings.map(finding);
  const skipped = content.skipped.length === 0 ? null : notRun(content.skipped);
  const fine = listed.length === 0 ? el("p", { class: "fine" }, "No rule found anything wrong.") : null;
  return [fine, ...listed, skipped].filter(Boolean);
}

function finding(found) {
  const rows = [
    ["Seen", found.seen],
    ["Why it matters", found.why],
    ["What to do", found.do],
    ["Where", found.where],
  ].filter(([, text]) => text);
  const pairs = rows.flatMap(([name, text]) => [el("dt", {}, name), el("dd", { class: "name" }, text)]);
  if (found.reference) pairs.push(el("dt", {}, "Read"), el("dd", {}, link(found.reference)));
  if (found.samples.length) pairs.push(el("dt", {}, "Samples"), el("dd", { class: "row" }, ...found.samples.map((key) => sampleButton(key))));
  const title = el("h3", {}, el("span", { class: "severity" }, found.severity), " ", el("span", { class: "name" }, found.rule.replaceAll("_", " ")));
  return el("article", { class: `finding ${["error", "warning"].includes(found.severity) ? found.severity : "note"}` }, title, el("dl", {}, ...pairs));
}

function notRun(skipped) {
  const items = skipped.map(([rule, why]) => el("li", {}, el("code", { class: "name" }, rule), `: ${why}`));
  return el("details", {}, el("summary", {}, `${plural(skipped.length, "check")} could not run`), el("ul", {}, ...items));
}

export function section(anchor, heading, said, nodes) {
  const title = el("h2", { id: `${anchor}-title`, class: "name" }, heading);
  const words = said.map((text) => el("p", { class: "soft" }, text));
  return el("section", { id: anchor, "aria-labelledby": `${anchor}-title`, tabindex: -1 }, title, ...words, ...nodes.filter(Boolean));
}

export function drawn(plain) {
  return section(plain.anchor, plain.heading, plain.said, pieces(plain.parts).nodes);
}

// Charts stand beside each other where there is room, and so do tables. `renew` draws other values into the same
// parts; false where they are other parts.
export function pieces(parts) {
  const nodes = [];
  const made = parts.map((part) => DRAWN[part.part](part));
  parts.forEach((part, at) => {
    const kind = part.part === "chart" ? "charts" : "tables";
    if (nodes.at(-1)?.className !== kind) nodes.push(el("div", { class: kind }));
    nodes.at(-1).append(made[at]);
  });
  const kinds = (listed) => listed.map((part) => part.part).join();
  const renew = (next) => kinds(next) === kinds(parts) && next.every((part, at) => made[at].renew?.(part) ?? false);
  return { nodes, renew };
}

export function facts(pairs) {
  return pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { class: "name" }, shown(value))));
}
