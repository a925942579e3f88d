// The full pages in the place of the dashboard: signed out, forbidden, unreachable.

import { readSession, session, signIn } from "../api/session.js";
import { Button, Problem } from "../components/basics.js";
import { html, useEffect, useRef, useState } from "../components/html.js";
import { Icon } from "../components/icon.js";

/** A page without the shell. */
function FullPage({ icon, title, children }) {
  useEffect(() => {
    document.title = `${title} · pexecutor`;
  }, [title]);
  return html`<main class="full-page" id="main">
    <div class="full-page__card">
      <p class="full-page__brand"><${Icon} name="mark" class="sidebar__mark" />pexecutor</p>
      ${icon && html`<${Icon} name=${icon} class="icon full-page__icon" />`}
      <h1 class="full-page__title">${title}</h1>
      ${children}
    </div>
  </main>`;
}

/** Sign in with a token. The server keeps it in a cookie that this page cannot read. */
export function SignIn() {
  const field = useRef();
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => field.current.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    if (!field.current.value) return setProblem("Enter a token.");
    setBusy(true);
    setProblem("");
    try {
      await signIn(field.current.value);
    } catch (error) {
      setProblem(error.status === 401 ? "Unknown token." : error.message);
      setBusy(false);
    }
  };
  const text = session.value.ended ? "The session has ended. Sign in again to go on where you were." : "This server answers only callers with a token.";
  return html`<${FullPage} title="Sign in">
    <p class="full-page__text">${text}</p>
    <form class="full-page__form" noValidate onSubmit=${submit}>
      <label class="field">
        <span class="field__label">Token</span>
        <input ref=${field} class="input" id="token" type="password" autocomplete="current-password" spellcheck=${false}
          aria-invalid=${problem ? "true" : undefined} aria-describedby="token-problem" />
        <span class="field__hint">The server's operator makes one with <code>pexecutor token new</code>.</span>
      </label>
      <div id="token-problem"><${Problem}>${problem}<//></div>
      <${Button} kind="primary" type="submit" busy=${busy}>Sign in<//>
    </form>
  <//>`;
}

/** Say why the reader may not read anything. */
export function Forbidden() {
  return html`<${FullPage} icon="lock" title="Not allowed">
    <p class="full-page__text">${session.value.detail}</p>
    <${Button} onClick=${readSession}>Try again<//>
  <//>`;
}

/** Say that the server does not answer, before there is anything to show. */
export function Unreachable() {
  return html`<${FullPage} icon="lost" title="The server does not answer">
    <p class="full-page__text">${session.value.detail ?? "Is it running, and can this computer reach it? The page tries again every few seconds."}</p>
    <${Button} onClick=${readSession}>Try now<//>
  <//>`;
}
