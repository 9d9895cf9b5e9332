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
  for (const one of options) made.append(node("option", { value: one.key }, one.label));
  made.value = chosen ?? "";
  made.addEventListener("change", () => onchange(made.value));
  return made;
}

export function field(label, ...children) {
  return node("label", { class: "field" }, node("span", {}, label), ...children);
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
export function toast(words) {
  const box = document.getElementById("toast");
  box.textContent = words;
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { box.hidden = true; }, 2600);
}
