// What a TypeScript program does with the types that openapi-typescript makes: compiled strictly, then run.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

type Schemas = components["schemas"];

const client = createClient<paths>({ baseUrl: process.argv[2]! });

async function submit(task: Schemas["Task"]): Promise<Schemas["TaskDetail"]> {
  const { data, error } = await client.POST("/tasks", { body: task });
  if (data === undefined || !("id" in data)) throw new Error(`not accepted: ${error?.detail}`);
  return data;
}

async function show(id: string, wait: number): Promise<Schemas["TaskDetail"]> {
  const { data, error } = await client.GET("/tasks/{id}", { params: { path: { id }, query: { wait } } });
  if (data === undefined) throw new Error(error.detail);
  return data;
}

function expect(what: string, is: unknown, should: unknown): void {
  if (is !== should) throw new Error(`${what} is ${is}, and not ${should}`);
}

// Submit, wait, list, show
const done = await submit({ name: "ts-done", params: {} });
expect("the outcome", (await show(done.id, 20)).outcome, "succeeded");
const finished = await client.GET("/tasks", { params: { query: { state: "finished", name: "ts-done", cursor: "" } } });
expect("the listed name", finished.data?.[0]?.name, "ts-done");

// A list has a reply of its own
const batch = await client.POST("/tasks", { body: [{ name: "ts-list" }], params: { query: { atomic: true } } });
if (batch.data === undefined || !("SubmittedTasks" in batch.data)) throw new Error("the list was not accepted");
expect("the number of tasks", batch.data.SubmittedTasks, 1);

// A held name, and a full queue
const running = await submit({ name: "ts-running", duration: 60_000 });
while ((await show(running.id, 0)).state !== "running");
const waiting = await submit({ name: "ts-waiting", priority: 5 });
const held = await client.POST("/tasks", { body: { name: "ts-waiting" } });
if (held.error?.status !== 409) throw new Error("the name is not held");
expect("the holder", held.error.holder?.id, waiting.id);
const full = await client.POST("/tasks", { body: { name: "ts-third" } });
if (full.error?.status !== 429) throw new Error("the queue is not full");
const rejected: number | undefined = full.error.RejectedTasks;
expect("the number that is only in replies to lists", rejected, undefined);
expect("Retry-After", Number(full.response.headers.get("Retry-After")) >= 1, true);

// Cancel
for (const { id } of [waiting, running]) {
  const { data, error } = await client.DELETE("/tasks/{id}", { params: { path: { id } } });
  if (data === undefined) throw new Error(error.detail);
  expect("the outcome", (await show(id, 20)).outcome, "cancelled");
}
const unknown = await client.GET("/tasks/{id}", { params: { path: { id: "x" } } });
expect("the status", unknown.error?.status, 404);
console.log("done");
