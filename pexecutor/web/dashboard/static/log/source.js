// The lines of an attempt's log, read as they arrive.

import { ApiError, send } from "../api/client.js";
import { onLeaving } from "../api/presence.js";
import { logPath } from "../api/tasks.js";

const RETRY_MS = 2000;

/**
 * Read a log, and follow it if the attempt has not ended.
 * @param receive gets lists of lines, each with `time`, `stream` and `text`, or with `missing` bytes
 * @param tell gets the state: `reading`, `live`, `ended`, or an error
 * @returns a function that stops reading
 */
export function readLog(id, { attempt, follow }, receive, tell) {
  let stop;
  const run = async (signal) => {
    const path = logPath(id, { attempt, follow: follow || undefined });
    const reply = await send("GET", path, { headers: { Accept: "application/x-ndjson" }, signal });
    if (!reply.ok) throw new ApiError(reply.status, await reply.json().catch(() => ({})));
    tell(follow ? "live" : "reading");
    await readLines(reply.body, receive);
    tell("ended");
  };
  const begin = () => {
    const { signal } = (stop = new AbortController());
    run(signal).catch((error) => {
      if (signal.aborted) return;
      tell(error);
      if (error.status === 503 || !error.status) setTimeout(() => signal.aborted || beginAgain(), RETRY_MS);
    });
  };
  const beginAgain = () => {
    receive(null);
    begin();
  };
  const leave = () => stop.abort();
  const end = onLeaving(leave, beginAgain);
  begin();
  return () => {
    end();
    leave();
  };
}

async function readLines(body, receive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const text = rest + (value ?? "");
    const end = text.lastIndexOf("\n");
    rest = text.slice(end + 1);
    const lines = text.slice(0, end + 1).split("\n").filter(Boolean).map(lineOf);
    if (lines.length) receive(lines);
    if (done) return;
  }
}

function lineOf(json) {
  const { time, stream, text, missing_bytes: missing } = JSON.parse(json);
  return missing === undefined ? { time: time && Date.parse(time), stream, text } : { missing };
}
