// Elements with text: strings become text nodes, never markup.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// A link where an address is one of the web; else its text.
export function link(address) {
  if (!/^https?:\/\/[^\s]+$/.test(address)) return el("span", { class: "name" }, address);
  return el("a", { href: address, rel: "noreferrer noopener", class: "name" }, address);
}

// Changes what is in an element; who had the focus in it, or who now stands for them, has it still.
export function keepingFocus(root, change) {
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  const told = (node) => `${node.tagName} ${node.id || node.getAttribute("aria-label") || node.textContent}`;
  const known = focused === null ? "" : told(focused);
  change();
  if (focused === null || root.contains(focused)) return;
  const same = [...root.querySelectorAll("button, input, select, a, [tabindex]")].find((node) => told(node) === known);
  (same ?? root.closest("[tabindex]") ?? root).focus({ preventScroll: true });
}

let count = 0;

// An id that no other element has.
export function fresh(prefix) {
  count += 1;
  return `${prefix}-${count}`;
}
