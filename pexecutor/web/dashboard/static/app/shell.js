// The shell around each page: a sidebar, which is a rail of icons on a tablet and a bar at the bottom on a phone.

import { now } from "../api/clock.js";
import { connection } from "../api/live.js";
import { session, signOut } from "../api/session.js";
import { Button } from "../components/basics.js";
import { clockTime, count, zone, zoneName } from "../components/format.js";
import { html, useComputed } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { Dialog } from "../components/overlays.js";
import { signal } from "../components/html.js";
import { PAGES } from "./pages.js";
import { hrefOf, route } from "./router.js";
import { toggleTheme } from "./themes.js";
import { attempt, Toasts } from "./toasts.js";

const isMoreOpen = signal(false);

/** The shell with a page in it. */
export function Shell({ children }) {
  return html`<a class="skip-link" href="#main">Skip to the content</a>
    <div class="shell">
      <section class="sidebar" aria-label="Sidebar">
        <a class="sidebar__brand" href=${hrefOf("")} aria-label="pexecutor, overview">
          <${Icon} name="mark" class="sidebar__mark" /><span class="sidebar__name">pexecutor</span>
        </a>
        <nav class="sidebar__nav" aria-label="Pages">
          <ul class="sidebar__links">
            ${PAGES.map((page) => html`<${PageLink} key=${page.path} page=${page} />`)}
            <li class="sidebar__more">
              <button class="sidebar__link" type="button" onClick=${() => (isMoreOpen.value = true)}>
                <${Icon} name="more" /><span class="sidebar__label">More</span>
              </button>
            </li>
          </ul>
        </nav>
        <div class="sidebar__foot"><${Live} /><${Person} /></div>
      </section>
      ${children}
    </div>
    ${isMoreOpen.value && html`<${More} />`}
    <${Toasts} />`;
}

function PageLink({ page }) {
  const isCurrent = route.value.page === page.path;
  const number = page.count?.();
  return html`<li class=${`sidebar__item${page.minor ? " sidebar__item--minor" : ""}`}>
    <a class="sidebar__link" href=${hrefOf(page.path)} title=${page.name} aria-current=${isCurrent ? "page" : undefined}>
      <${Icon} name=${page.icon} /><span class="sidebar__label">${page.name}</span>
      ${number ? html`<span class="sidebar__count">${count(number)}</span>` : ""}
    </a>
  </li>`;
}

const STATES = { connecting: "Connecting", live: "Live", polling: "Without events", lost: "Connection lost" };

function Live() {
  const { state, at } = connection.value;
  const text = useComputed(() => `${clockTime(connection.value.state === "lost" ? connection.value.at : now.value)} ${zoneName(now.value)}`);
  const title = `${STATES[state]}; last heard of the server at ${clockTime(at)}. Times are in ${zone()}.`;
  return html`<div class=${`live live--${state}`} title=${title}>
    <span class="live__dot"></span>
    <span class="live__text">${STATES[state]}</span>
    <time datetime=${new Date(at).toISOString()}>${text}</time>
  </div>`;
}

function Person() {
  const { name, scope, isAnonymous } = session.value;
  return html`<div class="sidebar__person">
    <span class="sidebar__who" title=${isAnonymous ? "No token is configured on this server" : undefined}>
      <span class="sidebar__login">${name}</span><span class="chip">${scope}</span>
    </span>
    <span class="sidebar__tools">
      <${Button} kind="quiet" small icon="theme" label="Switch between light and dark" onClick=${toggleTheme} />
      ${!isAnonymous && html`<${Button} kind="quiet" small icon="sign-out" label="Sign out" onClick=${() => attempt("sign out", signOut)} />`}
    </span>
  </div>`;
}

/** On a phone, what has no place in the bar at the bottom. */
function More() {
  const close = () => (isMoreOpen.value = false);
  return html`<${Dialog} title="More" onClose=${close}>
    <ul class="more">
      ${PAGES.filter((page) => page.minor).map((page) => html`<li key=${page.path}>
        <a class="more__link" href=${hrefOf(page.path)} onClick=${close}><${Icon} name=${page.icon} />${page.name}</a></li>`)}
    </ul>
    <${Live} />
    <${Person} />
  <//>`;
}
