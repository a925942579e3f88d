// Who the reader is, and what the reader may do.

import { signal } from "../vendor/signals.js";
import { ApiError, get, onReply, request } from "./client.js";

const SCOPES = ["read", "submit", "admin"];

/**
 * The session: `state` is `unknown`, `signed-in`, `signed-out`, `forbidden` or `unreachable`.
 *
 * Signed in, it has `name` and `scope`. Forbidden, it has `detail`. `ended` is true if there has been a session.
 */
export const session = signal({ state: "unknown" });

/** Whether the reader's scope allows what needs `scope`; what it does not allow is not offered. */
export const may = (scope) => SCOPES.indexOf(session.value.scope) >= SCOPES.indexOf(scope);

/** Find out who the reader is. */
export async function readSession() {
  try {
    const { name, scope } = await get("session");
    session.value = { state: "signed-in", name, scope, isAnonymous: name === "anonymous" };
  } catch (error) {
    if (!(error instanceof ApiError)) session.value = { state: "unreachable" };
    else if (error.status === 403) session.value = { state: "forbidden", detail: error.message };
    else if (error.status !== 401) session.value = { state: "unreachable", detail: error.message };
  }
}

/** Sign in with a token. */
export async function signIn(token) {
  await request("POST", "session", { body: { token } });
  await readSession();
}

/** Sign out. */
export async function signOut() {
  await request("DELETE", "session");
  session.value = { state: "signed-out", ended: false };
}

onReply((status) => {
  const { state } = session.value;
  if (status === 401 && state !== "signed-out") session.value = { state: "signed-out", ended: state === "signed-in" };
});
