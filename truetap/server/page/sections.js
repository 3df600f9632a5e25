// A section of the page: what it shows is asked for, said to be worked out, drawn, and renewed where it stands.

import { drawWaiting } from "./charts.js";
import { el, keepingFocus } from "./dom.js";
import { pieces } from "./parts.js";
import { ask, Silence } from "./asking.js";

const AGAIN = 1500;

export class View {
  constructor(anchor, heading, short = heading) {
    this.anchor = anchor;
    this.short = short;
    this.state = el("p", { class: "state", role: "status" });
    this.body = el("div", { class: "body" });
    const title = el("h2", { id: `${anchor}-title`, class: "name" }, heading);
    this.node = el("section", { id: anchor, "aria-labelledby": `${anchor}-title`, tabindex: -1 }, title, this.state, this.body);
    this.turn = 0;
    this.text = null;
  }

  // Asks, and draws what comes if it is another answer than the last.
  async refresh(path, given, draw) {
    this.turn += 1;
    const turn = this.turn;
    const mine = () => turn === this.turn;
    this.node.setAttribute("aria-busy", "true");
    let again = false;
    try {
      const found = await ask(path, given, (seconds) => mine() && this.working(seconds), mine);
      if (!mine()) return;
      this.said(found.fresh === false ? "As it stood a while ago; it is being worked out anew." : "");
      const text = JSON.stringify({ ...found, fresh: true });
      if (text !== this.text) {
        this.text = text;
        keepingFocus(this.node, () => draw(found));
        drawWaiting();
      }
      again = found.fresh === false;
      if (again) setTimeout(() => mine() && this.refresh(path, given, draw), AGAIN);
    } catch (error) {
      if (error instanceof Silence || !mine()) return; // the one who follows the run says so
      this.failed(error);
    } finally {
      if (mine() && !again) this.node.removeAttribute("aria-busy");
    }
  }

  working(seconds) {
    const long = Math.floor(seconds / 5) * 5; // a screen reader hears of it now and then, not every second
    this.said(`Being worked out${long ? `, for ${long} seconds so far` : ""}…`);
  }

  failed(error) {
    this.text = null;
    this.parts = null;
    this.said(error.message);
    this.body.replaceChildren();
  }

  said(words) {
    if (this.state.textContent !== words) this.state.textContent = words;
  }

  // Draws a section of plain parts; into those that are there where they are of the same kind.
  put(section, target = this.body) {
    const old = target.drawn;
    const said = (section?.said ?? []).map((text) => el("p", { class: "soft" }, text));
    if (old && section !== null && old.renew(section.parts)) {
      old.said.replaceChildren(...said);
      return;
    }
    const made = section === null ? { nodes: [], renew: () => false } : pieces(section.parts);
    const words = el("div", {}, ...said);
    target.drawn = { renew: made.renew, said: words };
    target.replaceChildren(words, ...made.nodes);
  }
}
