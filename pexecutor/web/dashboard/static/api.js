// The HTTP API of the server that this page was loaded from.

import { noteServerTime } from "./format.js";

const REPLY_MS_MAX = 10_000;

/** An error reply; `problem` holds its problem details. */
export class ApiError extends Error {
	constructor(status, problem) {
		super(problem.detail ?? `the server answered ${status}`);
		Object.assign(this, { status, problem });
	}
}

/** The text of an error for people. */
export const reason = (error) => (error instanceof ApiError ? error.message : "the server does not answer");

let signIn;
export const onUnknownCaller = (callback) => (signIn = callback);

/** The reply's JSON as `data`, and the path of the next page: this path, with the query of the link. Throws ApiError; other errors mean that no reply came. */
export async function ask(method, path, content) {
	const body = content && JSON.stringify(content);
	const headers = content ? { "Content-Type": "application/json" } : {};
	const reply = await fetch(path, { method, body, headers, signal: AbortSignal.timeout(REPLY_MS_MAX) });
	noteServerTime(reply.headers.get("Date"));
	const data = reply.headers.get("Content-Type")?.includes("json") ? await reply.json() : {};
	if (reply.status === 401) signIn();
	if (!reply.ok) throw new ApiError(reply.status, data);
	const following = reply.headers.get("Link")?.match(/<[^?]*(.*)>/)[1];
	return { data, next: following && path.replace(/\?.*/, "") + following };
}

export const get = async (path) => (await ask("GET", path)).data;

/** The pages of a listing. */
export async function* pages(path) {
	for (let next = path; next; ) {
		const page = await ask("GET", next);
		yield page.data;
		next = page.next;
	}
}

/** The reply of `/readyz`, ready or not. Without the scope `read` it has no statistics: then ask the user to sign in. */
export async function readiness() {
	const reply = await get("readyz").catch((error) => {
		if (error.problem?.status === 503) return error.problem;
		throw error;
	});
	if (reply.statistics) return reply;
	signIn();
	throw new ApiError(401, { detail: "sign in first" });
}

export const taskPath = (record) => `tasks/${record.id}`;
