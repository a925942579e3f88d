// The server's HTTP API, at the place that this page came from.

import { noteServerTime } from "./format.js";

const REPLY_MS_MAX = 10_000;

/** A reply that says no; `problem` is the server's own account of it. */
export class ApiError extends Error {
	constructor(status, problem) {
		super(problem.detail ?? `the server answered ${status}`);
		Object.assign(this, { status, problem });
	}
}

/** What to tell people of an error. */
export const reason = (error) => (error instanceof ApiError ? error.message : "the server does not answer");

let signIn;
export const onUnknownCaller = (callback) => (signIn = callback);

/** The reply's JSON as `data`, and where the next page is. Throws ApiError; any other error is no answer. */
export async function ask(method, path, content) {
	const body = content && JSON.stringify(content);
	const headers = content ? { "Content-Type": "application/json" } : {};
	const reply = await fetch(path, { method, body, headers, signal: AbortSignal.timeout(REPLY_MS_MAX) });
	noteServerTime(reply.headers.get("Date"));
	const data = reply.headers.get("Content-Type")?.includes("json") ? await reply.json() : {};
	if (reply.status === 401) signIn();
	if (!reply.ok) throw new ApiError(reply.status, data);
	return { data, next: reply.headers.get("Link")?.match(/<\/(.*)>/)[1] };
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

/** The reply of `/readyz`, ready or not, with its statistics. Callers who may not read get none: ask them to sign in. */
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
