// Data of the server that a view shows, read again when something has changed.

import { subscribe } from "../api/live.js";
import { useEffect, useRef, useState } from "../components/html.js";

const PAUSE_MS = 1000;

/**
 * Read data, and read it again after events: `data` (null before the first reply) and `problem`, an error.
 * @param read reads the data
 * @param needs what the data depends on: if it changes, the data is read anew
 * @param when whether an event changes the data; without it, only a gap in the events does
 * @param pauseMs at most one reading in this time
 * @param everyMs read at least this often
 */
export function useData(read, needs, { when = () => false, pauseMs = PAUSE_MS, everyMs } = {}) {
  const [found, setFound] = useState({ data: null, problem: null });
  const again = useRef(() => {});
  const [reading, filter] = [useRef(), useRef()];
  [reading.current, filter.current] = [read, when];
  useEffect(() => {
    const loop = readingLoop(() => reading.current(), setFound, pauseMs);
    again.current = loop.ask;
    setFound({ data: null, problem: null });
    loop.ask();
    const end = subscribe((events) => {
      if (events === null || events.some((event) => filter.current(event))) loop.ask();
    });
    const timer = everyMs && setInterval(() => document.hidden || loop.ask(), everyMs);
    return () => {
      loop.stop();
      end();
      clearInterval(timer);
    };
  }, needs);
  return { ...found, again: () => again.current() };
}

/** Read when asked to, never twice at a time, with a pause after each reading. */
function readingLoop(read, tell, pauseMs) {
  let [isAsked, isBusy, isOver] = [false, false, false];
  const run = async () => {
    isBusy = true;
    while (isAsked && !isOver) {
      isAsked = false;
      try {
        const data = await read();
        if (!isOver) tell({ data, problem: null });
      } catch (problem) {
        if (!isOver) tell((before) => ({ data: before.data, problem }));
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    isBusy = false;
  };
  const ask = () => {
    isAsked = true;
    if (!isBusy) run();
  };
  return { ask, stop: () => (isOver = true) };
}
