// Light or dark: as the reader's system has it, until the button says otherwise.

export function followTheme() {
  const button = document.getElementById("theme");
  const preferred = window.matchMedia("(prefers-color-scheme: dark)");
  const set = (dark) => {
    button.setAttribute("aria-pressed", String(dark));
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  set(preferred.matches);
  preferred.addEventListener("change", (event) => set(event.matches));
  button.addEventListener("click", () => set(button.getAttribute("aria-pressed") !== "true"));
}
