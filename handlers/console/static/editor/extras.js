// What only some kinds of step have (附带): templates of a channel, a coupon, a gift, working days.
import { field, node, select } from "./dom.js";
import { kindsOf } from "./ways.js";

// What a step had before its kind changed, in case it changes back.
const memory = new WeakMap();

function templatesOf(step, catalog) {
  if (typeof step.template !== "string") return step.template || {};
  const machine = kindsOf(step, catalog).find((one) => one.isMachine);
  return machine ? { [machine.key]: step.template } : {};
}

/** What the chosen kinds have no use for would be refused, and there would be no input to empty. */
export function fitToKind(step, catalog) {
  const own = kindsOf(step, catalog);
  const kept = { ...memory.get(step) };
  kept.template = { ...kept.template, ...(typeof step.template === "object" ? step.template : {}) };
  kept.coupon = step.coupon || kept.coupon;
  kept.gift = step.gift || kept.gift;
  memory.set(step, kept);
  const fitting = Object.entries(kept.template).filter(([key]) => own.some((one) => one.isMachine && one.key === key));
  put(step, "template", fitting.length ? Object.fromEntries(fitting) : null);
  put(step, "coupon", own.some((one) => one.isForMany) ? null : kept.coupon);
  put(step, "gift", own.some((one) => one.hasGift) ? kept.gift : null);
}

function put(step, key, value) {
  if (value) step[key] = value;
  else delete step[key];
}

/** A template by its bare name becomes one by its channel, before its kind can change. */
export function spread(step, catalog) {
  if (typeof step.template === "string") put(step, "template", templatesOf(step, catalog));
}

export const needsWords = (step, catalog) => kindsOf(step, catalog).some((one) => one.needsWords);

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
      memory.set(step, { ...memory.get(step), template: next });
      put(step, "template", Object.keys(next).length ? next : null);
      changed();
      draw();
    }), ...words(fitting.find((one) => one.name === chosen[kind.key])));
  });
  return node("div", { class: "field" }, node("div", { class: "row is-top" }, picks));
}

function words(template) {
  return template?.text ? [node("blockquote", { class: "bubble" }, template.text)] : [];
}

export function priorityInput(step, changed) {
  const input = node("input", { class: "input", inputmode: "numeric", autocomplete: "off", placeholder: "50", value: step.priority ?? "", "aria-label": "优先级" });
  input.addEventListener("input", () => {
    const typed = input.value.trim();
    if (typed === "") delete step.priority;
    else step.priority = /^\d+$/.test(typed) ? Number(typed) : typed;
    changed();
  });
  return node("label", { class: "field" }, node("span", {}, "优先级", node("small", {}, "0–100，大的先做")), input);
}

/** What may stay as it is: a missed day, working days, a coupon, a gift for who comes. */
export function moreInputs(step, catalog, at, changed) {
  const keep = (key, value) => {
    put(step, key, value);
    if (!value) memory.set(step, { ...memory.get(step), [key]: null });
    changed();
  };
  const own = kindsOf(step, catalog);
  const days = [{ key: "", label: "每天都可以" }, { key: "true", label: "只在工作日" }];
  const coupons = [{ key: "", label: "不带" }, ...catalog.coupons.map((name) => ({ key: name, label: name }))];
  const hasCoupon = Boolean(step.coupon) || (catalog.coupons.length > 0 && !own.some((one) => one.isForMany));
  let gift = null;
  if (step.gift || own.some((one) => one.hasGift)) {
    gift = node("input", { class: "input", maxlength: 40, value: step.gift || "", placeholder: "可不填", autocomplete: "off", "aria-label": "到店礼" });
    gift.addEventListener("input", () => keep("gift", gift.value.trim()));
  }
  return node("div", { class: "row" },
    at("if_missed", field("错过了", select(catalog.ifMissed, step.if_missed || catalog.ifMissed[0].key, (key) => keep("if_missed", key === catalog.ifMissed[0].key ? null : key)))),
    at("workdays", field("哪些日子", select(days, step.workdays ? "true" : "", (key) => keep("workdays", key === "true")))),
    hasCoupon && at("coupon", field("优惠券", select(coupons, step.coupon || "", (name) => keep("coupon", name)))),
    gift && at("gift", field("到店礼", gift)));
}
