// Icons and the shapes of states, drawn in a square of 16 units.

import { html } from "./html.js";

const DRAWN = {
  again: () => html`<path d="M13 8a5 5 0 1 1-1.5-3.6M13 2.5v2.6h-2.6"/>`,
  bookmark: () => html`<path d="M4.5 2.5h7v11L8 10.8 4.5 13.5z"/>`,
  calendar: () => html`<rect x="2.5" y="3.5" width="11" height="10" rx="2"/><path d="M5.5 2v3M10.5 2v3M2.5 7h11"/>`,
  check: () => html`<path d="M3 8.5l3.2 3.2L13 4.8"/>`,
  copy: () => html`<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 3.5v-.2c0-.5-.4-.8-.8-.8H3.3c-.4 0-.8.3-.8.8v6.4c0 .4.3.8.8.8h.2"/>`,
  down: () => html`<path d="M4 6l4 4 4-4"/>`,
  download: () => html`<path d="M8 2.5v8M4.5 7.5L8 11l3.5-3.5M2.5 13.5h11"/>`,
  drain: () => html`<path d="M3 3h10v4.5a5 5 0 0 1-10 0z"/><path d="M8 13v1.5"/>`,
  edit: () => html`<path d="M3 13l.6-2.9L10.7 3l2.3 2.3-7.1 7.1z"/>`,
  events: () => html`<path d="M1.5 8h3l2-4.5 3 9 2-4.5h3"/>`,
  filter: () => html`<path d="M2.5 4h11M4.5 8h7M6.5 12h3"/>`,
  follow: () => html`<path d="M8 2.5v7M4.8 6.5L8 9.7l3.2-3.2M3 13h10"/>`,
  handlers: () => html`<path d="M5.5 4.5L2.5 8l3 3.5M10.5 4.5l3 3.5-3 3.5M9 3.5l-2 9"/>`,
  info: () => html`<circle cx="8" cy="8" r="5.7"/><path d="M8 7.5V11M8 5.2h.01"/>`,
  lock: () => html`<rect x="3.5" y="7" width="9" height="6.5" rx="1.5"/><path d="M5.5 7V5.2a2.5 2.5 0 0 1 5 0V7"/>`,
  lost: () => html`<path d="M2 6.2a8.6 8.6 0 0 1 3.2-1.9M9 3.9a8.5 8.5 0 0 1 5 2.3M4.5 8.9a5 5 0 0 1 2-1.2M10.4 8a5 5 0 0 1 1.1.9M8 12h.01M2.5 2.5l11 11"/>`,
  mark: () => html`<rect x="1" y="1" width="14" height="14" rx="4" fill="currentColor" stroke="none"/><path d="M4.5 5.5h5M4.5 8h7M4.5 10.5h3.5" class="icon__cut"/>`,
  more: () => html`<path d="M3.5 8h.01M8 8h.01M12.5 8h.01" stroke-width="2"/>`,
  move: () => html`<path d="M8 2.5v11M5 5.5l3-3 3 3M5 10.5l3 3 3-3"/>`,
  nodes: () => html`<rect x="2.5" y="2.5" width="11" height="4.5" rx="1.2"/><rect x="2.5" y="9" width="11" height="4.5" rx="1.2"/><path d="M5 4.75h.01M5 11.25h.01" stroke-width="2"/>`,
  overview: () => html`<path d="M2.5 9.5a5.5 5.5 0 0 1 11 0"/><path d="M8 9.5l2.3-3"/><path d="M2.5 12.5h11"/>`,
  pause: () => html`<path d="M5.5 3.5v9M10.5 3.5v9" stroke-width="2"/>`,
  play: () => html`<path d="M5 3.2l7.5 4.8L5 12.8z"/>`,
  plus: () => html`<path d="M8 3v10M3 8h10"/>`,
  queue: () => html`<path d="M3 4.5h10M3 8h10M3 11.5h6"/>`,
  resume: () => html`<path d="M3.8 3.5v9" stroke-width="2"/><path d="M7 3.5l6.5 4.5L7 12.5z"/>`,
  right: () => html`<path d="M6 4l4 4-4 4"/>`,
  schedules: () => html`<rect x="2.5" y="3.5" width="11" height="10" rx="2"/><path d="M5.5 2v3M10.5 2v3M2.5 7h11M8 9.2v1.8h1.6"/>`,
  search: () => html`<circle cx="7" cy="7" r="4.3"/><path d="M10.3 10.3L13.5 13.5"/>`,
  settings: () => html`<path d="M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6"/><circle cx="10.2" cy="5" r="1.7"/><circle cx="5.8" cy="11" r="1.7"/>`,
  "sign-out": () => html`<path d="M9.5 3.5H4.3c-.7 0-1.3.6-1.3 1.3v6.4c0 .7.6 1.3 1.3 1.3h5.2M7 8h6.5M11 5.5L13.5 8 11 10.5"/>`,
  skip: () => html`<path d="M3.5 3.5l6.5 4.5-6.5 4.5zM12.5 3.5v9"/>`,
  sort: () => html`<path d="M8 3v10M4.5 9.5L8 13l3.5-3.5"/>`,
  store: () => html`<ellipse cx="8" cy="4" rx="5" ry="1.9"/><path d="M3 4v8c0 1 2.2 1.9 5 1.9s5-.9 5-1.9V4M3 8c0 1 2.2 1.9 5 1.9S13 9 13 8"/>`,
  tasks: () => html`<path d="M6 4h7.5M6 8h7.5M6 12h7.5"/><path d="M2.5 4h.01M2.5 8h.01M2.5 12h.01" stroke-width="2"/>`,
  theme: () => html`<circle cx="8" cy="8" r="5.5"/><path d="M8 2.5v11a5.5 5.5 0 0 0 0-11z" fill="currentColor" stroke="none"/>`,
  up: () => html`<path d="M4 10l4-4 4 4"/>`,
  user: () => html`<circle cx="8" cy="5.5" r="2.7"/><path d="M3 13.5c.6-2.6 2.6-4 5-4s4.4 1.4 5 4"/>`,
  warn: () => html`<path d="M8 2.5l6 10.8H2z"/><path d="M8 6.8v3M8 11.6h.01"/>`,
  wrap: () => html`<path d="M2.5 4h11M2.5 8h9a2 2 0 0 1 0 4H8M9.5 10.3L7.8 12l1.7 1.7M2.5 12h2.5"/>`,
  x: () => html`<path d="M4 4l8 8M12 4l-8 8"/>`,
};

/** An icon, which says nothing to a screen reader: the text beside it does. */
export function Icon({ name, class: kind = "icon" }) {
  return html`<svg class=${kind} viewBox="0 0 16 16" aria-hidden="true">${DRAWN[name]()}</svg>`;
}
