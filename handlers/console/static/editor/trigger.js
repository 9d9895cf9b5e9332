// The trigger (触发条件): one kind and the inputs its table entry names.
import { field, node, select } from "./dom.js";
import { money } from "./values.js";

const LISTS = { tag: "tags", festival: "festivals", category: "categories", stage: "stages", store: "stores" };

// What is not of its form goes to the server as it was typed; its sentence says what is wrong.
const READ = {
  number: (text) => (/^\d+$/.test(text) ? Number(text) : text),
  years: (text) => {
    const years = text.split(/[、,，\s]+/).filter(Boolean);
    return years.length && years.every((one) => /^\d+$/.test(one)) ? years.map(Number) : text;
  },
};

export function trigger(box, state, catalog, changed) {
  const entryOf = () => catalog.triggers.find((one) => one.key === state.trigger.kind) || catalog.triggers[0];

  function input(one) {
    const value = state.trigger[one.key];
    const take = (next) => {
      if (next === "" || next === null) delete state.trigger[one.key];
      else state.trigger[one.key] = next;
      changed();
    };
    const label = one.isRequired ? one.label : `${one.label}（可不填）`;
    if (one.kind === "flag") {
      const either = [{ key: "", label: "不限" }, { key: "true", label: "是" }, { key: "false", label: "否" }];
      return field(label, select(either, value === undefined ? "" : String(value), (key) => take(key && key === "true")));
    }
    const options = LISTS[one.kind] ? catalog.names[LISTS[one.kind]] : one.options;
    if (options && options.length) {
      const none = { key: "", label: one.isRequired ? "选择…" : "不限" };
      return field(label, select([none, ...options], value ?? "", take));
    }
    if (one.kind === "fen") {
      const made = node("input", { class: "input", inputmode: "decimal", autocomplete: "off", value: money.toText(value, true) });
      made.addEventListener("input", () => take(made.value.trim() ? money.toNumber(made.value, true) : ""));
      return field(label, node("span", { class: "money" }, made));
    }
    const made = node("input", { class: "input", type: one.kind === "date" ? "date" : "text", autocomplete: "off", placeholder: one.kind === "years" ? "例如 1、3" : "", value: Array.isArray(value) ? value.join("、") : value ?? "" });
    const read = READ[one.kind] || ((text) => text);
    made.addEventListener("input", () => take(read(made.value.trim())));
    return field(label, made);
  }

  function draw() {
    const kinds = catalog.triggers.map((one) => ({ key: one.key, label: one.label }));
    const pick = select(kinds, state.trigger.kind, (kind) => {
      state.trigger = { kind };
      changed(true);
      draw();
    }, { id: "trigger-kind" });
    box.replaceChildren(node("div", { class: "row" }, field("触发", pick), entryOf().fields.map(input)));
  }
  draw();
}
