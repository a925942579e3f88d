// The panel of a log: its tools, its lines, and what is known of them.

import { apiUrl } from "../api/client.js";
import { logPath } from "../api/tasks.js";
import { Button, Segments } from "../components/basics.js";
import { bytes, count, countOf } from "../components/format.js";
import { html, useEffect, useId, useRef, useState } from "../components/html.js";
import { Icon } from "../components/icon.js";
import { Select } from "../forms/fields.js";
import { LogLines } from "./lines.js";
import { readLog } from "./source.js";
import { LogView } from "./view.js";

const SEGMENTS_MAX = 4;
const TELL_MS = 250;

/**
 * The log of a task.
 * @param attempt the number of the attempt, `attempts` how many there are
 * @param choose called with the number of another attempt
 * @param begin when the attempt began, in ms since 1970
 * @param isLive whether the attempt has not ended
 */
export function LogPanel({ id, attempt, attempts, choose, begin, isLive, node }) {
  const title = useId();
  const [wrap, setWrap] = useState(() => matchMedia("(max-width: 40rem)").matches);
  const [stream, setStream] = useState("all");
  const [query, setQuery] = useState("");
  const log = useLog({ id, attempt, begin, isLive, stream, query });
  useEffect(() => log.view.current?.redraw(), [wrap]);
  const { streams, total, size, state, following, matches, at } = log;
  const options = [["all", "All"], ...streams.map((each) => [each, each])];
  return html`<section class="panel log" aria-labelledby=${title}>
    <div class="log__tools">
      <h2 id=${title}>Log</h2>
      ${attempts > 1 && html`<${Attempts} ...${{ attempt, attempts, choose }} />`}
      ${streams.length > 1 && html`<${Segments} label="Stream" options=${options} value=${stream} onChange=${setStream} />`}
      <${Search} query=${query} setQuery=${setQuery} move=${log.move} found=${matches} at=${at} />
      <span class="toolbar__end row row--fixed">
        <${Button} kind="quiet" small icon="wrap" title="Wrap long lines" aria-pressed=${String(wrap)} onClick=${() => setWrap(!wrap)}><span class="topbar__text">Wrap</span><//>
        ${isLive && html`<${Button} kind="quiet" small icon="follow" title="Follow the end" aria-pressed=${String(following)} onClick=${() => log.view.current.follow(!following)}><span class="topbar__text">Follow</span><//>`}
        <a class="button button--quiet button--icon button--small" href=${apiUrl(logPath(id, { attempt })).href} download=${`${id}-${attempt}.log`}
          aria-label=${`Download the log of attempt ${attempt}`} title=${`Download the log of attempt ${attempt}`}><${Icon} name="download" /></a>
      </span>
    </div>
    <div class="log__body"><div ref=${log.area} class=${`log__lines${wrap ? " log__lines--wrap" : ""}${isLive ? "" : " log__lines--ended"}`} tabindex="0" role="log" aria-live="off" aria-label=${`Output of attempt ${attempt}`}></div>
    ${total === 0 && html`<p class="log__none">${NOTHING[state] ?? "Nothing was printed."}</p>`}</div>
    ${!following && isLive && html`<${Button} small icon="follow" class="log__latest" onClick=${() => log.view.current.follow(true)}>Latest lines<//>`}
    <div class="log__foot"><span>${streams.includes("stderr") ? html`in order of arrival; <span class="text-mono">│</span> marks stderr` : "in order of arrival"}</span>
      <span>${bytes(size)}, ${countOf(total, "line")}${FOOT[state] ?? ""}${state instanceof Error ? `, ${state.message}` : ""}${node ? ` from ${node}` : ""}</span></div>
  </section>`;
}

const NOTHING = { reading: "Reading…", live: "Nothing has been printed yet." };
const FOOT = { live: ", live" };

function Attempts({ attempt, attempts, choose }) {
  const numbers = Array.from({ length: attempts }, (_, index) => index + 1);
  if (attempts <= SEGMENTS_MAX) return html`<${Segments} label="Attempt" options=${numbers.map((each) => [each, `Attempt ${each}`])} value=${attempt} onChange=${choose} />`;
  const options = numbers.map((each) => [String(each), `Attempt ${each} of ${attempts}`]);
  return html`<${Select} aria-label="Attempt" options=${options} value=${String(attempt)} onChange=${(value) => choose(Number(value))} />`;
}

function Search({ query, setQuery, move, found, at }) {
  const onKeyDown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    move(event.shiftKey ? -1 : 1);
  };
  return html`<span class="log__search row row--fixed"><label class="input-with-icon log__field">
      <span class="visually-hidden">Search the log</span><${Icon} name="search" />
      <input class="input" type="search" placeholder="Search" value=${query} onInput=${(event) => setQuery(event.target.value)} onKeyDown=${onKeyDown} />
    </label>
    ${query && html`<span class="text-faint log__found" role="status">${found.length ? `${count(at + 1)} of ${count(found.length)}` : "none"}</span>
      <${Button} kind="quiet" small icon="up" label="Previous match" disabled=${!found.length} onClick=${() => move(-1)} />
      <${Button} kind="quiet" small icon="down" label="Next match" disabled=${!found.length} onClick=${() => move(1)} />`}</span>`;
}

/** The lines of an attempt, drawn and searched; what the panel shows of them changes a few times a second. */
function useLog({ id, attempt, begin, isLive, stream, query }) {
  const [area, view, lines] = [useRef(), useRef(), useRef()];
  const [shown, setShown] = useState({ streams: [], total: 0, size: 0, state: "reading" });
  const [following, setFollowing] = useState(true);
  const [matches, setMatches] = useState([]);
  const [at, setAt] = useState(0);
  const wasLive = useRef(isLive);
  useEffect(() => void (wasLive.current ||= isLive), [isLive]);
  useEffect(() => {
    lines.current = new LogLines(stream === "all" ? undefined : (line) => line.stream === stream || line.missing !== undefined);
    view.current = new LogView(area.current, lines.current, { begin, onFollow: setFollowing });
    let [state, timer] = ["reading", 0];
    const tellNow = () => {
      clearTimeout(timer);
      timer = 0;
      const { streams, total, bytes: size } = lines.current;
      setShown((before) => ({ streams: [...new Set([...before.streams, ...streams])], total, size, state }));
    };
    const tell = () => (timer ||= setTimeout(tellNow, TELL_MS));
    const receive = (found) => {
      const isFirst = lines.current.total === 0;
      if (found) lines.current.append(found);
      else lines.current.clear();
      view.current.changed();
      if (isFirst) tellNow();
      else tell();
    };
    const stop = readLog(id, { attempt, follow: isLive }, receive, (now) => tell((state = now)));
    return () => {
      stop();
      clearTimeout(timer);
      view.current.close();
    };
  }, [id, attempt, stream]);
  const lower = query.toLowerCase();
  useEffect(() => {
    const found = lower ? lines.current.search(lower) : [];
    setMatches(found);
    setAt(0);
    view.current.mark(lower, found[0] ?? -1);
    if (found.length) view.current.show(found[0]);
  }, [lower, attempt, stream]);
  useEffect(() => {
    if (!lower) return;
    setMatches((before) => [...before, ...lines.current.search(lower, (before.at(-1) ?? -1) + 1)]);
  }, [shown.total]);
  const move = (by) => {
    if (!matches.length) return;
    const next = (at + by + matches.length) % matches.length;
    setAt(next);
    view.current.mark(lower, matches[next]);
    view.current.show(matches[next]);
  };
  return { area, view, ...shown, following, matches, at, move };
}
