// The trigger (触发条件): one kind and the inputs its table entry names.
import { field, node, select } from "./dom.js";
import { money } from "./values.js";

const LISTS = { tag: "tags", festival: "festivals", category: "categories", stage: "stages" };

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
    const options = LISTS[one.kind] ? catalog.names[LISTS[one.kind]] : null;
    if (options && options.length) {
      const none = { key: "", label: one.isRequired ? "选择…" : "不限" };
      return field(label, select([none, ...options], value ?? "", take));
    }
    if (one.kind === "fen") {
      const made = node("input", { class: "input", inputmode: "decimal", autocomplete: "off", value: money.toText(value, true) });
      made.addEventListener("input", () => take(made.value.trim() ? money.toNumber(made.value, true) : ""));
      return field(label, node("span", { class: "money" }, made));
    }
    const made = node("input", { class: "input", type: one.kind === "date" ? "date" : "text", autocomplete: "off", value: value ?? "" });
    made.addEventListener("input", () => take(made.value.trim()));
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
