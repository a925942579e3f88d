// Switch between light and dark; `theme.js` applies the choice when the page is loaded.

const KEY = "pexecutor-theme";
const root = document.documentElement;

/** Whether the page is dark. */
export const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

/** The theme that the reader has chosen: `light`, `dark`, or `system`. */
export const chosenTheme = () => root.dataset.theme ?? "system";

/** Switch to the other theme, and remember it. */
export const toggleTheme = () => chooseTheme(isDark() ? "light" : "dark");

/** Switch to a theme, or to that of the system, and remember the choice. */
export function chooseTheme(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
  dispatchEvent(new Event("themechange"));
}
