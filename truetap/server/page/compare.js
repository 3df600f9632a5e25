// Several runs: their curves over each other, and what changed between two.

import { el } from "./dom.js";
import { View } from "./sections.js";
import { go, state } from "./state.js";

export function runsViews(runs) {
  const over = new View("overlaid", "Curves of all runs", "All runs");
  const change = new View("compared", "What changed", "Compare");
  const place = el("div");
  const field = el("select", { id: "compare-with" });
  field.addEventListener("change", () => go({ with: field.value }));
  const label = el("label", { for: "compare-with" }, "Compare this run with ");
  change.body.append(el("p", { class: "filters" }, label, field), place);
  const drawn = runs.slice(0, 8).map((each) => each.number).join();

  function refresh() {
    over.refresh("overlaid", { runs: drawn }, (found) => over.put(found.section));
    const now = state();
    const here = now.run || "0";
    const others = runs.filter((each) => String(each.number) !== here);
    const text = `${here} ${now.with}`;
    if (field.dataset.text !== text) {
      field.dataset.text = text;
      const none = el("option", { value: "" }, "choose a run");
      field.replaceChildren(none, ...others.map((each) => el("option", { value: each.number, selected: String(each.number) === now.with }, each.name)));
    }
    if (!others.some((each) => String(each.number) === now.with)) {
      place.replaceChildren();
      place.drawn = null;
      change.text = null;
      change.turn += 1;
      change.said("");
      return;
    }
    change.refresh("compare", { here, there: now.with }, (found) => change.put(found.section, place));
  }

  change.failed = (error) => {
    change.text = null;
    place.drawn = null;
    place.replaceChildren();
    change.said(error.message);
  };
  return { views: [over, change], refresh };
}
