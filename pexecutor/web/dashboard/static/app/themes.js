// Switch between light and dark; `theme.js` applies the choice when the page is loaded.

const root = document.documentElement;

/** Whether the page is dark. */
export const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

/** Switch to the other theme, and remember it. */
export function toggleTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("pexecutor-theme", root.dataset.theme);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
  dispatchEvent(new Event("themechange"));
}
