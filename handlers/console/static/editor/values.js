// The value of one condition: a number with its unit, yes or no, two dates, a choice, names, text.
import { node, select } from "./dom.js";

const LISTS = new Set(["in", "not_in"]);
let lists = 0;

function toNumber(text, isMoney, hasDecimals = false) {
  const plain = text.replace(/[,，\s¥]/g, "");
  const pattern = isMoney || hasDecimals ? /^-?\d+(\.\d{1,2})?$/ : /^-?\d+$/;
  // What is no number goes to the server as it was typed; its sentence says what is wrong.
  if (!pattern.test(plain)) return text;
  return isMoney ? Math.round(Number(plain) * 100) : Number(plain);
}

function toText(value, isMoney) {
  if (typeof value !== "number") return value ?? "";
  return String(isMoney ? value / 100 : value);
}

function numberInput(entry, value, onchange, label) {
  const input = node("input", {
    class: "input", inputmode: "decimal", autocomplete: "off", "aria-label": label || entry.label,
    value: toText(value, entry.isMoney),
  });
  input.addEventListener("input", () => onchange(toNumber(input.value, entry.isMoney, entry.hasDecimals)));
  return input;
}

function numberValue(entry, leaf, changed) {
  const unit = entry.unit ? node("span", { class: "unit" }, entry.unit) : null;
  if (leaf.op !== "between") {
    return [numberInput(entry, leaf.value, (value) => { leaf.value = value; changed(); }), unit];
  }
  if (!Array.isArray(leaf.value)) leaf.value = [leaf.value ?? "", ""];
  const part = (place, label) => numberInput(entry, leaf.value[place], (value) => {
    leaf.value[place] = value;
    changed();
  }, label);
  return [part(0, "下限"), node("span", { class: "unit" }, "到"), part(1, "上限"), unit];
}

function flagValue(entry, leaf, changed) {
  if (typeof leaf.value !== "boolean") leaf.value = true;
  const take = (key) => { leaf.value = key === "true"; changed(); };
  return [select(entry.options, String(leaf.value), take, { "aria-label": entry.label })];
}

function datesValue(leaf, changed) {
  if (!Array.isArray(leaf.value)) leaf.value = ["", ""];
  const part = (place, label) => {
    const input = node("input", { class: "input", type: "date", "aria-label": label, value: leaf.value[place] });
    input.addEventListener("input", () => { leaf.value[place] = input.value; changed(); });
    return input;
  };
  return [part(0, "开始日期"), node("span", { class: "unit" }, "到"), part(1, "结束日期")];
}

function tokens(options, leaf, changed, redraw) {
  if (!Array.isArray(leaf.value)) leaf.value = leaf.value ? [leaf.value] : [];
  return leaf.value.map((key) => node("span", { class: "token" },
    options.find((one) => one.key === key)?.label || key,
    node("button", {
      type: "button", "aria-label": "去掉",
      onclick: () => { leaf.value = leaf.value.filter((one) => one !== key); changed(); redraw(); },
    }, "×")));
}

function picker(options, entry, take) {
  if (options.length <= 60) {
    return select([{ key: "", label: "选择…" }, ...options], "", (key) => key && take(key), { "aria-label": entry.label });
  }
  // A long list is searched by typing; the code or the name is understood.
  const id = `list-${lists += 1}`;
  const input = node("input", { class: "input", list: id, placeholder: "输入名称或编号", autocomplete: "off", "aria-label": entry.label });
  input.addEventListener("change", () => {
    const typed = input.value.trim();
    const found = options.find((one) => one.key === typed || one.label === typed);
    if (typed) take(found ? found.key : typed);
  });
  return node("span", { class: "value" }, input,
    node("datalist", { id }, options.map((one) => node("option", { value: one.label }))));
}

function pickedValue(entry, options, leaf, changed, redraw) {
  if (LISTS.has(leaf.op)) {
    const add = (key) => {
      if (!leaf.value.includes(key)) leaf.value.push(key);
      changed();
      redraw();
    };
    const made = tokens(options, leaf, changed, redraw);
    const rest = options.filter((one) => !leaf.value.includes(one.key));
    return [...made, picker(rest, entry, add)];
  }
  if (Array.isArray(leaf.value)) leaf.value = leaf.value[0] ?? "";
  if (options.length <= 60) {
    return [select([{ key: "", label: "选择…" }, ...options], leaf.value, (key) => { leaf.value = key; changed(); }, { "aria-label": entry.label })];
  }
  const shown = options.find((one) => one.key === leaf.value)?.label || leaf.value;
  const chosen = leaf.value ? node("span", { class: "token" }, shown, node("button", { type: "button", "aria-label": "去掉", onclick: () => { leaf.value = ""; changed(); redraw(); } }, "×")) : null;
  return [chosen, leaf.value ? null : picker(options, entry, (key) => { leaf.value = key; changed(); redraw(); })];
}

function textValue(entry, leaf, changed) {
  const isList = LISTS.has(leaf.op);
  const input = node("input", {
    class: "input", autocomplete: "off", "aria-label": entry.label,
    placeholder: isList ? "用顿号隔开" : "", value: Array.isArray(leaf.value) ? leaf.value.join("、") : leaf.value ?? "",
  });
  input.addEventListener("input", () => {
    const typed = input.value.trim();
    leaf.value = isList ? typed.split(/[、,，]/).map((one) => one.trim()).filter(Boolean) : typed;
    changed();
  });
  return [input];
}

export function valueOf(entry, names, leaf, changed, redraw) {
  const known = entry.value === "name" ? names[entry.names] : entry.options;
  let parts;
  if (entry.value === "number") parts = numberValue(entry, leaf, changed);
  else if (entry.value === "flag") parts = flagValue(entry, leaf, changed);
  else if (entry.value === "dates") parts = datesValue(leaf, changed);
  else if (known && known.length) parts = pickedValue(entry, known, leaf, changed, redraw);
  else parts = textValue(entry, leaf, changed);
  return node("div", { class: "value" }, parts);
}

/** One of the options: a select, or for a long list an input that is searched by typing. */
export function chooser(options, chosen, none, label, take) {
  if (options.length <= 60) return select([none, ...options], chosen, take, { "aria-label": label });
  const id = `list-${lists += 1}`;
  const shown = options.find((one) => one.key === chosen)?.label || chosen;
  const input = node("input", { class: "input", list: id, value: shown, placeholder: "输入名称或编号", autocomplete: "off", "aria-label": label });
  input.addEventListener("change", () => {
    const typed = input.value.trim();
    take(options.find((one) => one.key === typed || one.label === typed)?.key || typed);
  });
  return node("span", {}, input, node("datalist", { id }, options.map((one) => node("option", { value: one.label }))));
}

export const money = { toNumber, toText };
