// What is looked at stands in the address: a link shows the same, and Back goes back.

const KEYS = ["run", "phase", "epoch", "output", "true", "pred", "wrong", "flagged", "find", "sort", "order", "page", "classes", "cell", "sample", "with"];
const listeners = [];

export function state() {
  const given = new URLSearchParams(window.location.search);
  return Object.fromEntries(KEYS.map((key) => [key, given.get(key) ?? ""]));
}

// Changes some of it; what is "" or null goes away. `quietly` makes no step for Back.
export function go(changes, quietly = false) {
  const before = state();
  const after = { ...before, ...changes };
  const kept = KEYS.filter((key) => after[key] !== "" && after[key] !== null).map((key) => [key, String(after[key])]);
  const query = new URLSearchParams(kept).toString();
  const address = `${window.location.pathname}${query ? `?${query}` : ""}${window.location.hash}`;
  if (quietly) window.history.replaceState(null, "", address);
  else window.history.pushState(null, "", address);
  listeners.forEach((each) => each(state(), before));
}

export function listen(listener) {
  listeners.push(listener);
  let last = state();
  listeners.push((now) => (last = now));
  window.addEventListener("popstate", () => {
    const before = last;
    last = state();
    if (JSON.stringify(before) !== JSON.stringify(last)) listener(last, before); // not for a mere anchor
  });
}
