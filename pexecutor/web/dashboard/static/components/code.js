// JSON for people: params, results.

import { html } from "./html.js";

const KEYS = /^(\s*)("(?:[^"\\]|\\.)*")(: )/gm;

/** A value as JSON, with its keys set apart. */
export function Json({ value, label }) {
  const text = JSON.stringify(value, null, 2);
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(KEYS)) {
    const from = found.index + found[1].length;
    parts.push(text.slice(end, from), html`<span class="code__key">${found[2]}</span>`);
    end = from + found[2].length;
  }
  return html`<pre class="code code--flush" tabindex="0" aria-label=${label}>${parts}${text.slice(end)}</pre>`;
}
