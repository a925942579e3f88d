// What can be done with a schedule, and the question before its removal.

import { pauseSchedule, removeSchedule, runSchedule } from "../api/schedules.js";
import { go, hrefOf } from "../app/router.js";
import { attempt, say } from "../app/toasts.js";
import { InlineName } from "../components/basics.js";
import { countOf } from "../components/format.js";
import { html } from "../components/html.js";
import { Confirm } from "../components/overlays.js";

/** Submit the task of a schedule now; `done` is called once it is accepted. */
export const runNow = ({ name }, done) =>
  attempt(`run ${name}`, async () => {
    const record = await runSchedule(name);
    say(`${record.name} was submitted`, { action: "Show", act: () => go(hrefOf("tasks", record.id)) });
    done?.();
  });

/** Pause or resume a schedule. */
export const setPaused = ({ name }, paused, done) =>
  attempt(`${paused ? "pause" : "resume"} ${name}`, async () => {
    await pauseSchedule(name, paused);
    const undo = () => setPaused({ name }, !paused, done);
    say(paused ? `${name} is paused: its times are skipped` : `${name} goes on at its next time`, { action: "Undo", act: undo });
    done?.();
  });

/** The question before the removal of a schedule. */
export function RemoveSchedule({ schedule, onClose }) {
  const { name, next, occurrences } = schedule;
  const remove = async () => {
    await removeSchedule(name);
    say(`${name} was removed`);
    go(hrefOf("schedules"));
  };
  const times = next.length === 0 ? "It has no further times" : next.length < 5 ? `Its last ${countOf(next.length, "time")} will not fire` : "It will not fire again";
  const lost = occurrences.length ? `, and the record of its last ${countOf(occurrences.length, "occurrence")} is lost` : "";
  return html`<${Confirm} title="Remove this schedule?" action="Remove schedule" act=${remove} onClose=${onClose}>
    <p><${InlineName} name=${name} />: ${times[0].toLowerCase()}${times.slice(1)}${lost}. Tasks that it has submitted stay.</p>
  <//>`;
}
