// Pause and resume handlers, or everything. Both can be undone, so neither asks first.

import { pauseHandler, resumeHandler } from "../api/handlers.js";
import { readStatistics } from "../api/server.js";
import { attempt, say } from "../app/toasts.js";
import { countOf } from "../components/format.js";

/**
 * Pause or resume a handler, or everything if `name` is null.
 * @param running how many of its tasks run, which go on
 */
export const setPaused = (name, paused, { running = 0, done } = {}) =>
  attempt(`${paused ? "pause" : "resume"} ${name ?? "everything"}`, async () => {
    await (paused ? pauseHandler(name) : resumeHandler(name));
    const rest = running ? `; ${countOf(running, "running task goes on", "running tasks go on")}` : "";
    const text = paused ? `${name ?? "Everything"} is paused: nothing more starts${rest}` : `${name ?? "Everything"} is resumed`;
    say(text, { action: "Undo", act: () => setPaused(name, !paused, { running, done }) });
    done?.();
    await readStatistics();
  });

/** The pause of a handler itself, or undefined. */
export const ownPause = ({ pauses }) => pauses.find(({ what }) => what === "handler");
