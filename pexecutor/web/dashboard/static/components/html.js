// What every view needs of the libraries: templates, hooks and signals.

import htm from "../vendor/htm.js";
import { h } from "../vendor/preact.js";

/** A template of HTML as a view of Preact: html`<b class=${name}>text</b>`. */
export const html = htm.bind(h);

export { createRef, Fragment, render } from "../vendor/preact.js";
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";
export { batch, computed, effect, signal, useComputed, useSignal, useSignalEffect } from "../vendor/signals.js";
