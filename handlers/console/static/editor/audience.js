// The audience (人群): everybody, or a group of conditions with groups inside.
import { node, repaint, segments, select } from "./dom.js";
import { valueOf } from "./values.js";

const WORDS = [
  { key: "all", label: "全部满足" },
  { key: "any", label: "满足任意一个" },
  { key: "not", label: "一个都不满足" },
];
const DEEPEST = 7;

const wordOf = (group) => WORDS.find((one) => one.key in group).key;

export function audience(box, state, catalog, onchange) {
  const entries = Object.fromEntries(catalog.fields.map((one) => [one.key, one]));
  const fields = catalog.fields.map((one) => ({ key: one.key, label: one.label }));
  const changed = () => { state.isAudienceChanged = true; onchange(); };

  function fresh() {
    const first = catalog.fields[0];
    return { field: first.key, op: first.ops[0].key, value: "" };
  }

  function leafNode(leaf, drop, path) {
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
    return node("div", { class: "leaf", "data-at": path }, pickField, pickOp,
      valueOf(entry, catalog.names, leaf, changed, draw),
      node("button", { class: "link", type: "button", "aria-label": `删除条件：${entry.label}`, onclick: drop }, "删除"));
  }

  function groupNode(group, depth, drop, path) {
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
    return node("div", { class: "group", "data-at": path },
      node("div", { class: "group-head" },
        select(WORDS, word, (next) => {
          delete group[word];
          group[next] = terms;
          changed();
          draw();
        }, { "aria-label": "组合方式" }),
        node("span", { class: "faint" }, "以下条件"),
        drop && node("button", { class: "link", type: "button", onclick: drop }, "删除这一组")),
      terms.map((term, place) => {
        const at = `${path}.${word}.${place}`;
        return "field" in term ? leafNode(term, without(term), at) : groupNode(term, depth + 1, without(term), at);
      }),
      node("div", { class: "group-acts" },
        node("button", { class: "link", type: "button", onclick: () => add(fresh())() }, "添加条件"),
        depth < DEEPEST && node("button", { class: "link", type: "button", onclick: () => add({ any: [fresh()] })() }, "添加一组")));
  }

  function draw() {
    const everyone = state.audience === null;
    const choose = (key) => {
      if (key === "all" && state.audience) state.kept = state.audience;
      state.audience = key === "all" ? null : state.audience || state.kept || { all: [fresh()] };
      changed();
      draw();
    };
    repaint(box,
      segments("人群", [{ key: "all", label: "所有客户" }, { key: "some", label: "只对满足条件的客户" }], everyone ? "all" : "some", choose),
      ...(everyone ? [] : [groupNode(state.audience, 1, null, "audience")]));
  }
  draw();
}
