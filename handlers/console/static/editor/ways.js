// How a step reaches a customer (方式): its kind, and what only some kinds have beside it.
import { field, node, select } from "./dom.js";

/** The kinds a step may become, as the server's table tells them. */
function kindsOf(step, catalog) {
  const way = catalog.ways.find((one) => JSON.stringify(one.kind) === JSON.stringify(step.kind));
  const keys = way ? way.kinds : [step.kind];
  return catalog.kinds.filter((one) => keys.includes(one.key));
}

const isCompound = (step) => typeof step.kind === "object" && step.kind !== null;

function templatesOf(step, catalog) {
  if (typeof step.template !== "string") return step.template || {};
  const machine = kindsOf(step, catalog).find((one) => one.isMachine);
  return machine ? { [machine.key]: step.template } : {};
}

/** What the chosen kind has no use for would be refused, and there would be no input to empty. */
function choose(step, kind, catalog) {
  const templates = templatesOf(step, catalog);
  step.kind = kind;
  const own = kindsOf(step, catalog);
  if (templates[kind] && own.some((one) => one.isMachine)) step.template = { [kind]: templates[kind] };
  else delete step.template;
  if (own.some((one) => one.isForMany)) delete step.coupon;
  if (!own.some((one) => one.hasGift)) delete step.gift;
}

export const needsWords = (step, catalog) => kindsOf(step, catalog).some((one) => one.needsWords);

export const templateNames = (step, catalog) => Object.values(templatesOf(step, catalog));

/** The kind: a choice, or the sentence of what is too rich for one. */
export function kindInput(step, catalog, changed, draw) {
  if (!isCompound(step)) {
    return field("方式", select(catalog.kinds, step.kind || "chat", (kind) => { choose(step, kind, catalog); changed(); draw(); }));
  }
  const way = catalog.ways.find((one) => JSON.stringify(one.kind) === JSON.stringify(step.kind));
  return node("div", { class: "field is-way" }, node("span", {}, "方式"), node("p", { class: "way" }, way?.words || "多种方式"));
}

/** One select for each channel that sends by a template of its provider. */
export function templateInputs(step, catalog, changed, draw) {
  const machine = kindsOf(step, catalog).filter((one) => one.isMachine);
  if (!machine.length) return null;
  const chosen = templatesOf(step, catalog);
  const picks = machine.map((kind) => {
    const fitting = catalog.templates.filter((one) => one.channel === kind.key);
    const none = { key: "", label: fitting.length ? "选择模板…" : `还没有${kind.label}模板` };
    return field(`${kind.label}模板`, select([none, ...fitting.map((one) => ({ key: one.name, label: one.name }))], chosen[kind.key] || "", (name) => {
      const next = { ...templatesOf(step, catalog), [kind.key]: name };
      if (!name) delete next[kind.key];
      if (Object.keys(next).length) step.template = next;
      else delete step.template;
      changed();
      draw();
    }), ...words(fitting.find((one) => one.name === chosen[kind.key])));
  });
  return node("div", { class: "field" }, node("div", { class: "row" }, picks));
}

function words(template) {
  return template?.text ? [node("blockquote", { class: "bubble" }, template.text)] : [];
}

/** What may stay as it is: a missed day, workdays, a coupon, a gift for who comes. */
export function moreInputs(step, catalog, at, changed) {
  const keep = (key, value) => {
    if (value) step[key] = value;
    else delete step[key];
    changed();
  };
  const own = kindsOf(step, catalog);
  const days = [{ key: "", label: "每天都可以" }, { key: "true", label: "只在工作日" }];
  const coupons = [{ key: "", label: "不带" }, ...catalog.coupons.map((name) => ({ key: name, label: name }))];
  const hasCoupon = step.coupon || (catalog.coupons.length && !own.some((one) => one.isForMany));
  let gift = null;
  if (step.gift || own.some((one) => one.hasGift)) {
    gift = node("input", { class: "input", maxlength: 40, value: step.gift || "", placeholder: "可不填", autocomplete: "off", "aria-label": "到店礼" });
    gift.addEventListener("input", () => keep("gift", gift.value.trim()));
  }
  return node("div", { class: "row" },
    at("if_missed", field("错过了", select(catalog.ifMissed, step.if_missed || catalog.ifMissed[0].key, (key) => keep("if_missed", key)))),
    at("workdays", field("哪些日子", select(days, step.workdays ? "true" : "", (key) => keep("workdays", key === "true")))),
    hasCoupon && at("coupon", field("优惠券", select(coupons, step.coupon || "", (name) => keep("coupon", name)))),
    gift && at("gift", field("到店礼", gift)));
}
