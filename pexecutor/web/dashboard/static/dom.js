// Elements without a framework: created in one call, and changed only where they differ.

export const byId = (id) => document.getElementById(id);

/** An element with properties or attributes, and children; false ones are left out. */
export function h(tag, properties = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (name in element) element[name] = value;
		else element.setAttribute(name, value);
	}
	element.append(...children.flat().filter((child) => child !== undefined && child !== false));
	return element;
}

export function svg(tag, attributes, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const name in attributes) element.setAttribute(name, attributes[name]);
	element.append(...children);
	return element;
}

export function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/** Fill a part of a `.bar`, from 0 to 1; the label names the measure for screen readers. */
export function setBar(bar, part, label) {
	bar.role = "img";
	bar.ariaLabel = label;
	bar.style.setProperty("--part", Math.min(1, part));
}

/** Show a message at the edge of the page; screen readers read it aloud. */
export function toast(text, isBad = false) {
	const note = h("p", { className: isBad ? "bad" : "" }, text);
	byId("toasts").append(note);
	setTimeout(() => note.remove(), isBad ? 8000 : 4000);
}

for (const button of document.querySelectorAll("[data-close]")) {
	button.onclick = () => button.closest("dialog").close();
}
