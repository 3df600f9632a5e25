// Questions to the server: asked again while the answer is being worked out.

export class Trouble extends Error {
  constructor(said) {
    super(`${said.received}. Expected: ${said.expected}. ${said.do}`);
    this.said = said;
  }
}

export class Silence extends Error {}

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

export async function once(path, given = {}) {
  const pairs = Object.entries(given).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(pairs).toString();
  let answer;
  try {
    answer = await fetch(`/api/${path}${query ? `?${query}` : ""}`, { headers: { Accept: "application/json" } });
  } catch {
    throw new Silence("The server doesn't answer.");
  }
  const found = await answer.json().catch(() => ({ received: `an answer ${answer.status}`, expected: "JSON", do: "Look at the server." }));
  if (!answer.ok) throw new Trouble(found);
  return found;
}

// The answer when it is there. `working` hears of the seconds that it takes; `wanted` says whether to go on.
export async function ask(path, given = {}, working = () => {}, wanted = () => true) {
  const began = performance.now();
  for (let wait = 100; ; wait = Math.min(1000, wait * 1.5)) {
    const found = await once(path, given);
    if (found.state !== "working" || !wanted()) return found;
    working((performance.now() - began) / 1000);
    await pause(wait);
  }
}
