// Numbers as a person reads them.

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  if (Number.isInteger(value)) return Math.abs(value) < 1e15 ? grouped.format(value) : value.toExponential(3);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  if (size >= 1000) return grouped.format(value);
  return String(Number(value.toPrecision(4)));
}

export function plural(number, noun) {
  return `${shown(number)} ${noun}${number === 1 ? "" : "s"}`;
}
