// Lines of a log as elements: with the colours of ANSI sequences, and with marks on what was searched.

import Anser from "../vendor/anser.js";

const ESCAPE = "\u001b";
const OPTIONS = { json: true, remove_empty: true, use_classes: true };
const SEQUENCES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007]*(?:\u0007|\u001b\\)|[@-_])/g;
const STEPS = [0, 95, 135, 175, 215, 255];

/** A line without its end and without ANSI sequences. After a carriage return, a terminal writes over the line. */
export const plain = (text) => bare(text).replace(SEQUENCES, "");

const bare = (text) => {
  const line = text.replace(/\r?\n$/, "");
  return line.includes("\r") ? line.slice(line.lastIndexOf("\r", line.length - 2) + 1) : line;
};

/**
 * Append a line's text to an element.
 * @param query what to mark, in lower case, or an empty text
 */
export function appendLine(element, text, query) {
  const line = bare(text);
  if (!line.includes(ESCAPE)) return appendMarked(element, line, query);
  for (const piece of Anser.ansiToJson(line, OPTIONS)) {
    const span = document.createElement("span");
    span.className = classesOf(piece);
    paint(span, piece);
    appendMarked(span, piece.content, query);
    element.append(span);
  }
}

function appendMarked(element, text, query) {
  const lower = query && text.toLowerCase();
  let end = 0;
  for (let at = query ? lower.indexOf(query) : -1; at >= 0; at = lower.indexOf(query, end)) {
    const mark = document.createElement("mark");
    mark.className = "log__mark";
    mark.textContent = text.slice(at, at + query.length);
    element.append(text.slice(end, at), mark);
    end = at + query.length;
  }
  element.append(text.slice(end));
}

const DECORATIONS = { bold: "ansi-bold", dim: "ansi-dim", italic: "ansi-italic", underline: "ansi-underline", strikethrough: "ansi-strike" };

function classesOf({ fg, bg, decorations }) {
  const names = decorations.map((each) => DECORATIONS[each]);
  if (fg && isNamed(fg)) names.push(fg.replace("bright-", ""));
  if (bg && isNamed(bg)) names.push(`${bg.replace("bright-", "")}-ground`);
  return names.filter(Boolean).join(" ");
}

const isNamed = (name) => !name.startsWith("ansi-palette") && name !== "ansi-truecolor";

/** Colours beyond the sixteen named ones have no role: they are the program's own, mixed with that of text to be read. */
function paint(span, { fg, bg, fg_truecolor: trueFore, bg_truecolor: trueBack }) {
  const [fore, back] = [colourOf(fg, trueFore), colourOf(bg, trueBack)];
  if (fore) span.style.setProperty("color", `color-mix(in oklab, ${fore} 50%, var(--color-text))`);
  if (back) span.style.setProperty("background", `color-mix(in oklab, ${back} 25%, var(--color-surface-sunken))`);
}

function colourOf(name, truecolor) {
  if (!name || isNamed(name)) return null;
  if (name === "ansi-truecolor") return `rgb(${truecolor})`;
  const number = Number(name.slice("ansi-palette-".length));
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232)).join(", ")})`;
  const cube = number - 16;
  return `rgb(${STEPS[Math.floor(cube / 36)]}, ${STEPS[Math.floor(cube / 6) % 6]}, ${STEPS[cube % 6]})`;
}
