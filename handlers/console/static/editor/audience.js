// The audience (人群): everybody, or a group of conditions with groups inside.
import { node, select } from "./dom.js";
import { valueOf } from "./values.js";

const WORDS = [
  { key: "all", label: "全部满足" },
  { key: "any", label: "满足任意一个" },
  { key: "not", label: "一个都不满足" },
];
const DEEPEST = 4;

const wordOf = (group) => WORDS.find((one) => one.key in group).key;

export function audience(box, state, catalog, changed) {
  const entries = Object.fromEntries(catalog.fields.map((one) => [one.key, one]));
  const fields = catalog.fields.map((one) => ({ key: one.key, label: one.label }));

  function fresh() {
    const first = catalog.fields[0];
    return { field: first.key, op: first.ops[0].key, value: "" };
  }

  function leafNode(leaf, drop) {
    const entry = entries[leaf.field] || { label: leaf.field, ops: [{ key: leaf.op, label: leaf.op }], value: "text" };
    const pickField = select(fields, leaf.field, (key) => {
      Object.assign(leaf, { field: key, op: entries[key].ops[0].key, value: "" });
      changed();
      draw();
    }, { "aria-label": "字段" });
    const pickOp = select(entry.ops, leaf.op, (op) => {
      leaf.op = op;
      changed();
      draw();
    }, { "aria-label": "比较" });
    return node("div", { class: "leaf" }, pickField, pickOp,
      valueOf(entry, catalog.names, leaf, changed, draw),
      node("button", { class: "link", type: "button", onclick: drop }, "删除"));
  }

  function groupNode(group, depth, drop) {
    const word = wordOf(group);
    const terms = group[word];
    const without = (term) => () => {
      terms.splice(terms.indexOf(term), 1);
      changed();
      draw();
    };
    const add = (term) => () => {
      terms.push(term);
      changed();
      draw();
    };
    return node("div", { class: "group" },
      node("div", { class: "group-head" },
        select(WORDS, word, (next) => {
          delete group[word];
          group[next] = terms;
          changed();
          draw();
        }, { "aria-label": "组合方式" }),
        node("span", { class: "faint" }, "以下条件"),
        drop && node("button", { class: "link", type: "button", onclick: drop }, "删除这一组")),
      terms.map((term) => ("field" in term ? leafNode(term, without(term)) : groupNode(term, depth + 1, without(term)))),
      node("div", { class: "group-acts" },
        node("button", { class: "link", type: "button", onclick: () => add(fresh())() }, "添加条件"),
        depth < DEEPEST && node("button", { class: "link", type: "button", onclick: () => add({ any: [fresh()] })() }, "添加一组")));
  }

  function draw() {
    const choose = (label, isOn, take) => node("button", { type: "button", "aria-pressed": isOn ? "true" : "false", onclick: () => { take(); changed(); draw(); } }, label);
    const everyone = state.audience === null;
    box.replaceChildren(
      node("div", { class: "choices", role: "group", "aria-label": "人群" },
        choose("所有客户", everyone, () => { if (state.audience) state.kept = state.audience; state.audience = null; }),
        choose("只对满足条件的客户", !everyone, () => { if (!state.audience) state.audience = state.kept || { all: [fresh()] }; })),
      ...(everyone ? [] : [groupNode(state.audience, 1, null)]));
  }
  draw();
}
