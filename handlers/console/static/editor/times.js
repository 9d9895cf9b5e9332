// When a step is due (时间): its day and its hour, typed without the line moving under the hand.
import { field, node, select } from "./dom.js";

const DELAY = /^\+(?:(\d+)h)?(?:(\d+)m)?$/;

const modeOf = (step) => (!step.at ? "any" : step.at.startsWith("+") ? "delay" : "clock");

function delayOf(step) {
  const [, hours, minutes] = DELAY.exec(step.at) || [];
  return { hours: hours || "", minutes: minutes || "" };
}

function timeOf(step) {
  if (modeOf(step) !== "delay") return step.at || "";
  const { hours, minutes } = delayOf(step);
  return `${[hours && `${hours} 小时`, minutes && `${minutes} 分钟`].filter(Boolean).join(" ")}后`;
}

export function when(step, isFixed) {
  const day = Number(step.day);
  let name = day === 0 ? "当天" : `第 ${step.day} 天`;
  if (isFixed && day < 0) name = `提前 ${-day} 天`;
  else if (isFixed && day > 0) name = `${day} 天后`;
  return `${name} ${timeOf(step)}`.trim();
}

export function dayInput(step, changed) {
  const day = node("input", { class: "input", inputmode: "numeric", autocomplete: "off", value: step.day });
  day.addEventListener("input", () => {
    const typed = day.value.trim().replace(/[－—–]/, "-");
    step.day = /^-?\d+$/.test(typed) ? Number(typed) : typed;
    // "So long after" is said of day 0 only; the choice is there, but not on another day.
    const delay = day.closest(".step-body").querySelector("option[value=delay]");
    if (delay) delay.disabled = step.day !== 0 && modeOf(step) !== "delay";
    changed();
  });
  return field("第几天", day);
}

/** `entry` is the trigger's: only some have a moment that hours can be counted from. */
export function timeInput(step, entry, changed, draw) {
  const mode = modeOf(step);
  const modes = [{ key: "any", label: "当天任意时间" }, { key: "clock", label: "到点提醒" }];
  if (entry.hasMoment || mode === "delay") {
    modes.push({ key: "delay", label: "过多久以后", isOff: Number(step.day) !== 0 && mode !== "delay" });
  }
  const pick = select(modes, mode, (next) => {
    step.at = { any: null, clock: "10:00", delay: "+2h" }[next];
    changed();
    draw();
  }, { "aria-label": "时间方式" });
  return node("div", { class: "field" }, node("span", {}, "时间"), node("div", { class: "pair" }, pick, inputs(step, mode, changed)));
}

function inputs(step, mode, changed) {
  if (mode === "clock") {
    const clock = node("input", { class: "input", type: "time", value: step.at, "aria-label": "几点" });
    clock.addEventListener("input", () => { step.at = clock.value; changed(); });
    return clock;
  }
  if (mode !== "delay") return null;
  const { hours, minutes } = delayOf(step);
  const part = (value, label) => node("input", { class: "input is-short", inputmode: "numeric", autocomplete: "off", value, "aria-label": label });
  const [first, second] = [part(hours, "多少小时"), part(minutes, "多少分钟")];
  const take = () => {
    const told = [[first, "h"], [second, "m"]].filter(([one]) => one.value.trim() && one.value.trim() !== "0");
    step.at = `+${told.map(([one, unit]) => one.value.trim() + unit).join("")}`;
    changed();
  };
  first.addEventListener("input", take);
  second.addEventListener("input", take);
  return node("span", { class: "delay" }, first, node("span", { class: "unit" }, "小时"), second, node("span", { class: "unit" }, "分钟后"));
}
