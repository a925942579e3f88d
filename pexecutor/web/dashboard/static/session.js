// Signing in and out. The server keeps the token in a cookie that this page cannot read.

import { attempt } from "./actions.js";
import { ask, onUnknownCaller, reason } from "./api.js";
import { byId, setText } from "./dom.js";

const SIGNED_IN = "signed-in";

/** Ask for a token whenever the server demands one; `pause` is called then. */
export function startSession(pause) {
	const [dialog, token, signOut] = ["session", "token", "sign-out"].map(byId);
	const form = dialog.querySelector("form");
	signOut.hidden = !localStorage.getItem(SIGNED_IN);
	dialog.oncancel = (event) => event.preventDefault(); // without a token, the page has nothing to show
	onUnknownCaller(() => {
		if (dialog.open) return;
		pause();
		dialog.showModal();
	});
	form.onsubmit = async (event) => {
		event.preventDefault();
		try {
			await ask("POST", "session", { token: token.value });
		} catch (error) {
			return setText(form.querySelector(".problem"), error.status === 401 ? "Unknown token." : reason(error));
		}
		form.reset();
		localStorage.setItem(SIGNED_IN, "yes");
		location.reload();
	};
	signOut.onclick = () =>
		attempt("sign out", async () => {
			await ask("DELETE", "session");
			localStorage.removeItem(SIGNED_IN);
			location.reload();
		});
}
