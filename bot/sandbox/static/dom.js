// Building elements. What people typed only ever becomes a text node or a checked address.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function fill(element, ...children) {
  element.textContent = "";
  add(element, children);
  return element;
}

// Draws again only when what it is drawn from has changed, so nothing under a finger moves.
export function redraw(element, source, draw) {
  const mark = JSON.stringify(source);
  if (element.drawnFrom === mark) return;
  element.drawnFrom = mark;
  const scrolled = element.scrollTop;
  fill(element, draw());
  element.scrollTop = scrolled;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(path, size = 20) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("width", size);
  svg.setAttribute("height", size);
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export function jewel(name, size = 32) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", size);
  svg.setAttribute("height", size);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${mount}/static/jewels.svg#${name}`);
  svg.append(use);
  return svg;
}

export const mount = document.body.dataset.mount;

export const ICONS = {
  back: "M15 5l-7 7 7 7",
  chat: "M4 5h16v11H10l-4 4v-4H4z",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-4 2.5-6 6-6s6 2 6 6M16 4.5a3.3 3.3 0 0 1 0 6.3M18 14.5c2 .8 3 2.7 3 5.5",
  scan: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M4 12h16",
  me: "M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-5 3-7.5 8-7.5s8 2.5 8 7.5",
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  service: "M5 13v-1a7 7 0 0 1 14 0v1M5 13h3v5H5zM16 13h3v5h-3zM19 18c0 2-2 3-5 3",
};

const COLORS = 8;

export function avatar(name, size = "", address = "") {
  const letters = Array.from(String(name || "").trim());
  const sum = letters.reduce((total, one) => total + one.codePointAt(0), 0);
  const tile = h("span", { class: `avatar tint-${sum % COLORS} ${size}`, "aria-hidden": "true" }, letters[0] || "·");
  if (/^https?:\/\//.test(address)) {
    const picture = h("img", { src: address, alt: "" });
    picture.addEventListener("error", () => picture.remove());
    tile.append(picture);
  }
  return tile;
}

export function badge(count) {
  return count > 0 && h("b", { class: "badge" }, count > 99 ? "99+" : count);
}
