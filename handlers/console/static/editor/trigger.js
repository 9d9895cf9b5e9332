// The trigger (触发条件): one kind and the inputs its table entry names.
import { field, node, repaint, select } from "./dom.js";
import { chooser, money } from "./values.js";

const LISTS = { tag: "tags", festival: "festivals", category: "categories", stage: "stages", store: "stores" };
const EXAMPLES = { years: "例如 1、3，不填就是每一年", words: "不填就是不限" };

// What is not of its form goes to the server as it was typed; its sentence says what is wrong.
const READ = {
  number: (text) => (/^\d+$/.test(text) ? Number(text) : text),
  years: (text) => {
    const years = text.split(/[、,，\s]+/).filter(Boolean);
    return years.length && years.every((one) => /^\d+$/.test(one)) ? years.map(Number) : text;
  },
  weekday: (key) => Number(key),
  flag: (key) => key === "true",
};

export function trigger(box, state, catalog, changed) {
  const entryOf = () => catalog.triggers.find((one) => one.key === state.trigger.kind) || catalog.triggers[0];
  // What was filled in for each kind, so that a look at another loses nothing.
  const kept = new Map();
  const isMeant = (one) => !one.needs || state.trigger[one.needs[0]] === one.needs[1];

  function put(one, value) {
    if (value === "" || value === null || value === undefined) delete state.trigger[one.key];
    else state.trigger[one.key] = value;
  }

  function take(one, value) {
    put(one, value);
    const parts = entryOf().fields.filter((each) => each.needs?.[0] === one.key);
    // An input that has no meaning any more is not sent; what depends on this one is drawn anew.
    for (const part of parts) if (!isMeant(part)) delete state.trigger[part.key];
    changed();
    if (parts.length) draw();
  }

  function picked(one, label) {
    const value = state.trigger[one.key];
    const read = READ[one.kind] || ((key) => key);
    if (one.kind === "flag") {
      const either = [{ key: "", label: "不限" }, { key: "true", label: "是" }, { key: "false", label: "否" }];
      return field(label, select(either, value === undefined ? "" : String(value), (key) => take(one, key && read(key))));
    }
    const options = LISTS[one.kind] ? catalog.names[LISTS[one.kind]] : one.options;
    if (!options || !options.length) return null;
    const none = { key: "", label: one.isRequired || one.needs ? "选择…" : "不限" };
    return field(label, chooser(options, value === undefined ? "" : String(value), none, one.label, (key) => take(one, key && read(key))));
  }

  function typed(one, label) {
    const value = state.trigger[one.key];
    if (one.kind === "fen") {
      const made = node("input", { class: "input", inputmode: "decimal", autocomplete: "off", value: money.toText(value, true) });
      made.addEventListener("input", () => take(one, made.value.trim() ? money.toNumber(made.value, true) : ""));
      return field(label, node("span", { class: "money" }, made));
    }
    const list = one.key === "template" && catalog.coupons.length ? "known-coupons" : null;
    const made = node("input", {
      class: "input", type: one.kind === "date" ? "date" : "text", autocomplete: "off", list,
      inputmode: one.kind === "number" ? "numeric" : null, placeholder: EXAMPLES[one.kind] || "",
      value: Array.isArray(value) ? value.join("、") : value ?? "",
    });
    const read = READ[one.kind] || ((text) => text);
    made.addEventListener("input", () => take(one, made.value.trim() && read(made.value.trim())));
    return field(label, made, list && node("datalist", { id: list }, catalog.coupons.map((name) => node("option", { value: name }))));
  }

  function input(one) {
    const label = one.isRequired || one.needs ? one.label : `${one.label}（可不填）`;
    const made = picked(one, label) || typed(one, label);
    made.dataset.at = `trigger.${one.key}`;
    return made;
  }

  function draw() {
    const kinds = catalog.triggers.map((one) => ({ key: one.key, label: one.label }));
    const pick = select(kinds, state.trigger.kind, (kind) => {
      kept.set(state.trigger.kind, state.trigger);
      state.trigger = kept.get(kind) || { kind };
      changed(true);
      draw();
    }, { id: "trigger-kind" });
    repaint(box, node("div", { class: "row is-top" }, field("触发", pick), entryOf().fields.filter(isMeant).map(input)));
  }
  draw();
}
