// The address of the page: which page it names, of which thing, with which filters.

import { computed, signal } from "../components/html.js";
import { BASE } from "../api/client.js";

const ROOT = "ui";
const FOLDER = `${ROOT}/`;

/** The address: `page` (empty for the overview), `item` (the id or name of one thing) and `query`. */
export const route = signal(read());

/** The values of the query string, by name; a list for a parameter that is repeated. */
export const query = computed(() => route.value.query);

function read() {
  const path = location.pathname.slice(BASE.pathname.length);
  const parts = path.startsWith(FOLDER) ? path.slice(FOLDER.length).split("/") : [];
  const [page = "", item] = parts.map(decodeURIComponent);
  return { page, item, query: new URLSearchParams(location.search) };
}

/**
 * The address of a page.
 * @param page its name, empty for the overview
 * @param item the id or the name of one thing
 * @param query values by name; empty ones are left out
 */
export function hrefOf(page, item, query = {}) {
  const path = [page, item].filter(Boolean).map(encodeURIComponent).join("/");
  const values = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) if (each !== undefined && each !== null && each !== "") values.append(name, each);
  }
  return `${BASE.pathname}${path ? FOLDER + path : ""}${values.size ? `?${values}` : ""}`;
}

/** Go to an address of this dashboard. */
export function go(href, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href);
  route.value = read();
}

/** Change some values of the query string; an empty value removes one. */
export function setQuery(changes, { replace = false } = {}) {
  const { page, item, query } = route.value;
  const values = {};
  for (const name of new Set([...query.keys(), ...Object.keys(changes)])) values[name] = changes[name] ?? query.getAll(name);
  for (const [name, value] of Object.entries(changes)) if (value === null) delete values[name];
  go(hrefOf(page, item, values), { replace });
}

addEventListener("popstate", () => (route.value = read()));

// A link to a page of the dashboard does not load the document again.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  const path = url.origin === location.origin && url.pathname.startsWith(BASE.pathname) && url.pathname.slice(BASE.pathname.length);
  if (path === false || !(path === "" || path === ROOT || path.startsWith(FOLDER))) return;
  if (url.pathname === location.pathname && url.hash) return;
  event.preventDefault();
  if (url.href !== location.href) go(url.pathname + url.search);
});
