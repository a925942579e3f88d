// Signing in and out. The server keeps the token in a cookie that this page cannot read.

import { ask, onSignInWanted } from "./api.js";
import { byId, setText } from "./dom.js";

const REMEMBERED = "pexecutor-signed-in"; // only that, so as to offer signing out

/** Ask for a token whenever the server wants one; `changed(signedIn)` is called when that has worked or was undone. */
export function startSession(changed) {
  const dialog = byId("session");
  const signOut = byId("sign-out");
  signOut.hidden = !localStorage.getItem(REMEMBERED);
  dialog.addEventListener("cancel", (event) => event.preventDefault()); // there is nothing to see without
  onSignInWanted(() => {
    if (dialog.open) return;
    changed(false);
    dialog.showModal();
  });
  byId("session-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = byId("session-token");
    setText(byId("session-problem"), "");
    try {
      await ask("POST", "session", { token: token.value });
    } catch (error) {
      setText(byId("session-problem"), error.status === 401 ? "The server does not know this token." : error.message);
      return;
    }
    token.value = "";
    localStorage.setItem(REMEMBERED, "yes");
    signOut.hidden = false;
    dialog.close();
    changed(true);
  });
  signOut.addEventListener("click", async () => {
    await ask("DELETE", "session");
    localStorage.removeItem(REMEMBERED);
    location.reload();
  });
}
