// Puts the content into the page: all text first, then the charts.

import { configure, drawWaiting } from "./charts.js";
import { el } from "./dom.js";
import { drawn, facts, findings } from "./parts.js";
import { closeByBackdrop, embedded, know } from "./samples.js";
import { followTheme } from "./theme.js";

const content = JSON.parse(document.getElementById("content").textContent);
configure(content.config);
know(embedded(content));
document.title = `${content.title}: truetap report`;
document.getElementById("title").textContent = content.title;
document.getElementById("said").textContent = content.said;
document.getElementById("facts").append(...facts(content.facts));
document.getElementById("main").append(findings(content), ...content.sections.map(drawn));
const headings = [["findings", "Findings"], ...content.sections.map((each) => [each.anchor, each.heading])];
const entries = headings.map(([anchor, title]) => el("li", {}, el("a", { href: `#${anchor}`, class: "name" }, title)));
document.getElementById("contents").append(...entries);
closeByBackdrop();
followTheme();
document.addEventListener("DOMContentLoaded", drawWaiting); // the charts' own script has run by then
