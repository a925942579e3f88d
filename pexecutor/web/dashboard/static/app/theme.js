// Light or dark, as the reader chose last. This script is no module: it runs before the page is drawn.

{
  let chosen = null;
  try {
    chosen = localStorage.getItem("pexecutor-theme");
  } catch {
    // Storage is off: the theme of the system applies.
  }
  if (chosen) document.documentElement.dataset.theme = chosen;
}
