// What the model was given, as a person looks at it.

import { el, fresh } from "./dom.js";
import { shown } from "./numbers.js";

const SVG = "http://www.w3.org/2000/svg";

// A small picture of the first input; nothing where none was recorded, or where it is no picture.
export function thumbnail(inputs) {
  const input = inputs[0];
  if (input?.kind === "image") return picture(input, "thumbnail", "");
  return input?.kind === "series" ? series(input, "thumbnail", 48, 24) : null;
}

// The beginning of the first input where it is text or numbers.
export function excerpt(inputs) {
  const input = inputs[0];
  if (input === undefined || input.kind === "image" || input.kind === "series") return null;
  const text = input.kind === "text" ? input.data : input.data.map(([, value]) => shown(value)).join(", ");
  return el("span", { class: "excerpt" }, text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

export function whole(input, name) {
  const words = `${input.path} of shape ${input.shape}`;
  if (input.kind === "image") return captioned(picture(input, "picture", `Input ${words} of sample ${name}`), words);
  if (input.kind === "series") return captioned(series(input, "line", 320, 90, `Input ${words} of sample ${name}`), words);
  if (input.kind === "text") return captioned(el("p", { class: "passage" }, input.data), words);
  return values(input, words);
}

function captioned(node, words) {
  return el("figure", { class: "input" }, node, el("figcaption", {}, words));
}

function picture(input, kind, alt) {
  const safe = /^data:image\/png;base64,[A-Za-z0-9+/=]+$/.test(input.data);
  return el("img", { src: safe ? input.data : null, class: kind, alt });
}

function values(input, words) {
  const titled = fresh("values");
  const rows = input.data.map(([name, value]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "number" }, shown(value))),
  );
  const head = el("tr", {}, el("th", { scope: "col" }, "place"), el("th", { scope: "col" }, "value"));
  const caption = el("caption", { id: titled }, words);
  const grid = el("table", {}, caption, el("thead", {}, head), el("tbody", {}, ...rows));
  return el("div", { class: "scroll values", role: "region", "aria-labelledby": titled, tabindex: 0 }, grid);
}

function series(input, kind, width, height, label) {
  const finite = input.data.flat().filter((value) => value !== null);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const root = document.createElementNS(SVG, "svg");
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  root.setAttribute("class", kind);
  if (label === undefined) root.setAttribute("aria-hidden", "true");
  else {
    root.setAttribute("role", "img");
    root.setAttribute("aria-label", `${label}, from ${shown(low)} to ${shown(high)}`);
  }
  input.data.forEach((line, at) => {
    const points = line.map((value, place) => {
      const x = (place / Math.max(1, line.length - 1)) * (width - 4) + 2;
      return `${x.toFixed(1)},${(height - 2 - ((value ?? low) - low) / (high - low || 1) * (height - 4)).toFixed(1)}`;
    });
    const drawn = document.createElementNS(SVG, "polyline");
    drawn.setAttribute("points", points.join(" "));
    drawn.setAttribute("class", `series-${at}`);
    root.append(drawn);
  });
  return root;
}
