// Build nodes and talk to the server. Text from people only ever becomes a text node.

export function node(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else if (key === "value") made.value = value;
    else if (value === true) made.setAttribute(key, "");
    else made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export function select(options, chosen, onchange, given = {}) {
  const made = node("select", { class: "select", ...given });
  const known = options.some((one) => one.key === chosen);
  if (!known && chosen) made.append(node("option", { value: chosen }, chosen));
  for (const one of options) made.append(node("option", { value: one.key, disabled: one.isOff }, one.label));
  made.value = chosen ?? "";
  made.addEventListener("change", () => onchange(made.value));
  return made;
}

/** A few answers beside each other, one of them pressed. */
export function segments(label, options, chosen, take) {
  return node("div", { class: "choices", role: "group", "aria-label": label }, options.map((one) =>
    node("button", { type: "button", "aria-pressed": one.key === chosen ? "true" : "false", onclick: () => take(one.key) }, one.label)));
}

export function field(label, ...children) {
  return node("label", { class: "field" }, node("span", {}, label), ...children);
}

// Where the hand is: the way down from the box, from the last node that has a name of its own.
function wayTo(box, target) {
  const way = [];
  for (let here = target; here !== box; here = here.parentElement) {
    if (here.dataset.key) return { key: here.dataset.key, way };
    way.unshift([...here.parentElement.children].indexOf(here));
  }
  return { key: null, way };
}

/** Draw a box anew; who works with the keyboard stays where she is. */
export function repaint(box, ...children) {
  const target = document.activeElement;
  const kept = box !== target && box.contains(target) ? wayTo(box, target) : null;
  box.replaceChildren(...children);
  if (!kept) return;
  let here = kept.key === null ? box : box.querySelector(`[data-key="${CSS.escape(kept.key)}"]`);
  for (const place of kept.way) here = here?.children[Math.min(place, here.children.length - 1)] || here;
  const wanted = "button, input, select";
  const goal = here?.matches(wanted) ? here : here?.querySelector(wanted);
  goal?.focus({ preventScroll: true });
}

export function debounced(wait, call) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, wait);
  };
}

/** The answer as JSON (or text), or an Error whose `field` says which input it belongs to. */
export async function send(url, body, { text = false } = {}) {
  let answer;
  try {
    answer = await fetch(url, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "X-Requested-With": "fetch",
        "X-CSRF-Token": document.querySelector("meta[name=csrf]").content,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("网络不通，请稍后再试");
  }
  if (answer.ok) return text ? answer.text() : answer.json();
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // Not one of our sentences; the general one has to do.
  }
  throw Object.assign(new Error(told.error || "没有成功，请稍后再试"), { field: told.field });
}

let hiding = 0;
export function toast(words, undo) {
  const box = document.getElementById("toast");
  const hide = () => { box.hidden = true; };
  box.replaceChildren(words);
  if (undo) box.append(node("button", { type: "button", onclick: () => { hide(); undo(); } }, "撤销"));
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(hide, undo ? 8000 : 2600);
}
