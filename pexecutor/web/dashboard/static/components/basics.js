// Small components: buttons, links, names, chips, panels, facts, empty and loading states.

import { html, useId, useState } from "./html.js";
import { Icon } from "./icon.js";

/**
 * A button.
 * @param icon the name of its icon
 * @param label its name, if it shows none
 * @param kind `primary`, `decisive` or `quiet`
 */
export function Button({ icon, label, kind, small = false, busy = false, disabled = false, children, class: more = "", ...rest }) {
  const isBare = children === undefined || children.length === 0;
  const classes = ["button", kind && `button--${kind}`, small && "button--small", isBare && "button--icon", more];
  const named = label ? { "aria-label": label, title: label } : {};
  return html`<button type="button" class=${classes.filter(Boolean).join(" ")} aria-busy=${busy ? "true" : undefined}
    disabled=${disabled || busy} ...${named} ...${rest}>${icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}

/** A link that looks like a button. */
export function ButtonLink({ icon, kind = "quiet", small = true, children, ...rest }) {
  const classes = `button button--${kind}${small ? " button--small" : ""}`;
  return html`<a class=${classes} ...${rest}>${icon && html`<${Icon} name=${icon} />`}${children}</a>`;
}

/** The name of a task or of something else that people named, in the direction of its script; whole on hover. */
export function Name({ name, href }) {
  if (href) return html`<a class="task-name" dir="auto" href=${href} title=${name}>${name}</a>`;
  return html`<span class="task-name" dir="auto" title=${name}>${name}</span>`;
}

/** A name inside of a sentence. */
export const InlineName = ({ name }) => html`<bdi class="inline-name">${name}</bdi>`;

/** A tag or another small fact. */
export const Chip = ({ children, title }) => html`<span class="chip" dir="auto" title=${title}>${children}</span>`;

/** A button that copies a text. */
export function Copy({ text, label }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<${Button} kind="quiet" small icon=${copied ? "check" : "copy"} label=${copied ? "Copied" : label} onClick=${copy} />`;
}

/**
 * A titled area.
 * @param note a few words beside the title
 * @param action what stands at the end of the title's line
 * @param flush whether the content reaches the edges, as a table does
 */
export function Panel({ title, note, action, flush = false, foot, children, class: more = "" }) {
  const id = useId();
  return html`<section class=${`panel ${more}`} aria-labelledby=${id}>
    <div class="panel__head">
      <h2 id=${id}>${title}</h2>
      ${note && html`<span class="panel__note">${note}</span>`}
      ${action && html`<div class="panel__action">${action}</div>`}
    </div>
    ${flush ? children : html`<div class="panel__body">${children}</div>`}
    ${foot && html`<div class="panel__foot">${foot}</div>`}
  </section>`;
}

/** Facts of one thing: pairs of a name and a value; pairs without a value are left out. */
export function Facts({ facts }) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null && value !== false);
  return html`<dl class="facts">${known.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** What to show in the place of a list without entries: what is not there, and how to get it. */
export function Empty({ icon, title, children }) {
  return html`<div class="empty">
    <${Icon} name=${icon} class="icon empty__icon" />
    <p class="empty__title">${title}</p>
    ${children}
  </div>`;
}

/** A line for the shell, to copy. */
export function ShellLine({ text, label = "A line for the shell" }) {
  return html`<pre class="code empty__code" tabindex="0" aria-label=${label}>${text}</pre>
    <${Copy} text=${text} label="Copy the line" />`;
}

const WIDTHS = ["medium", "long", "short", "long", "medium", "short"];

/** Rows that stand for those that are still being read. */
export function Skeleton({ rows = 5 }) {
  const lines = Array.from({ length: rows }, (_, row) => WIDTHS[row % WIDTHS.length]);
  return html`<div class="skeletons" role="status" aria-label="Loading">
    ${lines.map((width) => html`<span class=${`skeleton skeleton--${width}`}></span>`)}
  </div>`;
}

/** One of a few: the options are pairs of a value and a text. */
export function Segments({ label, options, value, onChange }) {
  const option = ([each, text]) => html`<button type="button" class="segments__option" key=${each}
    aria-pressed=${String(each === value)} onClick=${() => onChange(each)}>${text}</button>`;
  return html`<div class="segments" role="group" aria-label=${label}>${options.map(option)}</div>`;
}

/** What went wrong, in one line or more. */
export function Problem({ children }) {
  if (!children) return null;
  return html`<p class="problem" role="alert" data-role="failure"><${Icon} name="warn" /><span>${children}</span></p>`;
}

/**
 * Slots or workers, one mark each, as long as there are at most twenty; otherwise a bar.
 * @param late how many of the used ones are late
 */
export function Slots({ used, size, label, late = 0 }) {
  if (size > 20) return html`<progress class="progress" value=${used} max=${size} aria-label=${label} title=${label}></progress>`;
  const kind = (index) => (index < late ? "pips__pip pips__pip--late" : index < used ? "pips__pip pips__pip--used" : "pips__pip");
  return html`<span class="pips" role="img" aria-label=${label} title=${label}>
    ${Array.from({ length: Math.max(size, used) }, (_, index) => html`<span class=${kind(index)}></span>`)}
  </span>`;
}
