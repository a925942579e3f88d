// What floats: dialogs, menus, and the questions before what cannot be undone.

import { Button } from "./basics.js";
import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "./html.js";
import { Icon } from "./icon.js";

/**
 * A modal dialog, which is open as long as it is rendered.
 * @param onClose called when the reader closes it; the owner then no longer renders it
 * @param onSubmit called when the reader presses the button of type `submit` or Enter, if the dialog is a form
 */
export function Dialog({ title, wide = false, onClose, children, foot, onSubmit }) {
  const dialog = useRef();
  const id = useId();
  useLayoutEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => opener?.isConnected && opener.focus();
  }, []);
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  const submit = (event) => {
    event.preventDefault();
    onSubmit();
  };
  const onClick = (event) => event.target === dialog.current && onClose();
  // A form needs a button that submits it, so a dialog that only shows something has none.
  const [tag, attributes] = onSubmit ? ["form", { noValidate: true, onSubmit: submit }] : ["div", {}];
  return html`<dialog ref=${dialog} class=${`dialog${wide ? " dialog--wide" : ""}`} aria-labelledby=${id} onCancel=${onCancel} onClick=${onClick}>
    <${tag} class="dialog__form" ...${attributes}>
      <div class="dialog__head">
        <h2 class="dialog__title" id=${id}>${title}</h2>
        <${Button} kind="quiet" small icon="x" label="Close" onClick=${onClose} />
      </div>
      <div class="dialog__body">${children}</div>
      ${foot && html`<div class="dialog__foot">${foot}</div>`}
    <//>
  </dialog>`;
}

/**
 * A question before something that cannot be undone. It says what will happen.
 * @param action the name of the button that does it: its verb and its object
 * @param keep the name of the button that does not
 * @param act does it; its error is shown in the dialog
 */
export function Confirm({ title, action, keep = "Keep it", act, onClose, children, disabled = false }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const confirm = async () => {
    setBusy(true);
    try {
      await act();
      onClose();
    } catch (error) {
      setProblem(error.message);
      setBusy(false);
    }
  };
  const foot = html`${problem && html`<span class="dialog__note dialog__note--failure" role="alert" data-role="failure">${problem}</span>`}
    <${Button} onClick=${onClose}>${keep}<//>
    <${Button} kind="decisive" type="submit" busy=${busy} disabled=${disabled}>${action}<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose} onSubmit=${confirm} foot=${foot}>${children}<//>`;
}

/**
 * A button with a menu below it. The content may be menu items or a small form.
 * @param label the name of the button, if it shows none
 * @param content what the menu holds; a function gets `close`
 */
export function Menu({ icon, label, text, small = false, kind, content, pressed, class: more = "" }) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const [button, menu] = [useRef(), useRef()];
  const close = () => menu.current?.hidePopover();
  useEffect(() => {
    const element = menu.current;
    const onToggle = (event) => setOpen(event.newState === "open");
    element.addEventListener("toggle", onToggle);
    return () => element.removeEventListener("toggle", onToggle);
  }, []);
  useLayoutEffect(() => {
    if (!open) return;
    place(menu.current, button.current);
    menu.current.querySelector("input, select, button, a")?.focus();
  }, [open]);
  const onKeyDown = (event) => moveFocus(event, menu.current);
  const children = text === undefined ? [] : [text, html`<${Icon} name="down" />`];
  return html`<div class=${`menu-anchor ${more}`}>
    <button ref=${button} type="button" popovertarget=${id} aria-haspopup="true" aria-expanded=${String(open)} aria-label=${label} title=${label}
      class=${`button${kind ? ` button--${kind}` : ""}${small ? " button--small" : ""}${text === undefined ? " button--icon" : ""}${pressed ? " button--set" : ""}`}>
      ${icon && html`<${Icon} name=${icon} />`}${children}
    </button>
    <div ref=${menu} class="menu" id=${id} popover="auto" onKeyDown=${onKeyDown}>
      ${open && (typeof content === "function" ? content(close) : content)}
    </div>
  </div>`;
}

/** An entry of a menu. */
export function MenuItem({ icon, hint, onClick, close, children, ...rest }) {
  const act = () => {
    close?.();
    onClick?.();
  };
  return html`<button type="button" class="menu__item" onClick=${act} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}<span class="menu__text">${children}</span>
    ${hint && html`<span class="menu__hint">${hint}</span>`}
  </button>`;
}

/** Put a menu below its button, and within the window. */
function place(menu, button) {
  const at = button.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - menu.offsetWidth - 8);
  const below = at.bottom + 4 + menu.offsetHeight < innerHeight;
  const top = below ? at.bottom + 4 : Math.max(8, at.top - 4 - menu.offsetHeight);
  menu.style.setProperty("left", `${Math.max(8, left)}px`);
  menu.style.setProperty("top", `${top}px`);
}

/** Move the focus up and down in a menu with the arrow keys. */
function moveFocus(event, menu) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by || event.target.matches("input:not([type=checkbox]):not([type=radio]), select, textarea")) return;
  const items = [...menu.querySelectorAll("button:not(:disabled), a, input")];
  items[(items.indexOf(document.activeElement) + by + items.length) % items.length]?.focus();
  event.preventDefault();
}
