// The steps (步骤) as a timeline: one line each, opened to be changed, always in the order of days.
import { field, node, select } from "./dom.js";
import { kindInput, moreInputs, needsWords, templateInputs, templateNames } from "./ways.js";

const PRIORITIES = [["90", "很高"], ["70", "较高"], ["50", "普通"], ["30", "较低"]];
const UNITS = { h: "小时", m: "分钟" };

function timeOf(step) {
  if (!step.at) return "";
  return step.at.startsWith("+") ? `${step.at.slice(1, -1)} ${UNITS[step.at.slice(-1)] || ""}后` : step.at;
}

export function when(step, isFixed) {
  const day = Number(step.day);
  let name = day === 0 ? "当天" : `第 ${step.day} 天`;
  if (isFixed && day < 0) name = `提前 ${-day} 天`;
  else if (isFixed && day > 0) name = `${day} 天后`;
  return `${name} ${timeOf(step)}`.trim();
}

export function steps(box, state, catalog, changed) {
  const entry = () => catalog.triggers.find((one) => one.key === state.trigger.kind) || catalog.triggers[0];
  const open = new Set(state.steps.length === 1 ? state.steps : []);
  let wrong = null;

  function sort() {
    const rank = (step) => (/^\d/.test(step.at || "") ? step.at : "");
    state.steps.sort((a, b) => (Number(a.day) || 0) - (Number(b.day) || 0) || rank(a).localeCompare(rank(b)));
  }

  function timeInputs(step) {
    const mode = !step.at ? "any" : step.at.startsWith("+") ? step.at.slice(-1) : "clock";
    const modes = [{ key: "any", label: "当天任意时间" }, { key: "clock", label: "到点提醒" }];
    if (entry().hasMoment && Number(step.day) === 0) modes.push({ key: "h", label: "几小时后" }, { key: "m", label: "几分钟后" });
    else if (mode !== "any" && mode !== "clock") modes.push({ key: mode, label: `几${UNITS[mode] || ""}后` });
    const pick = select(modes, mode, (next) => {
      step.at = { any: null, clock: "10:00", h: "+2h", m: "+30m" }[next];
      changed();
      draw();
    }, { "aria-label": "时间方式" });
    let input = null;
    if (mode === "clock") {
      input = node("input", { class: "input", type: "time", value: step.at, "aria-label": "几点" });
      input.addEventListener("input", () => { step.at = input.value; changed(); });
      input.addEventListener("change", draw);
    } else if (mode !== "any") {
      input = node("input", { class: "input", inputmode: "numeric", value: step.at.slice(1, -1), "aria-label": `多少${UNITS[mode]}` });
      input.addEventListener("input", () => { step.at = `+${input.value.trim()}${mode}`; changed(); });
    }
    return node("div", { class: "pair" }, pick, input);
  }

  function words(step) {
    const filled = state.sample.filled[step.talking_point] || [];
    if (!filled.length) return null;
    return node("div", {},
      node("blockquote", { class: "bubble" }, filled[0]),
      filled.length > 1 && node("p", { class: "variants" }, `还有 ${filled.length - 1} 种说法，发送时轮换`));
  }

  function pointPick(step) {
    const made = node("select", { class: "select" }, node("option", { value: "" }, "选择话术…"));
    const scenes = new Map();
    for (const one of catalog.points) {
      if (!scenes.has(one.scene)) scenes.set(one.scene, node("optgroup", { label: one.scene }));
      scenes.get(one.scene).append(node("option", { value: one.name }, one.name));
    }
    made.append(...scenes.values());
    const isKnown = catalog.points.some((one) => one.name === step.talking_point);
    if (step.talking_point && !isKnown) made.append(node("option", { value: step.talking_point }, step.talking_point));
    made.value = step.talking_point || "";
    made.addEventListener("change", () => { step.talking_point = made.value || undefined; changed(); draw(); });
    return made;
  }

  function materials(step) {
    const chosen = step.materials || [];
    const rest = catalog.materials.filter((one) => !chosen.includes(one.name)).map((one) => ({ key: one.name, label: `${one.name}（${one.kind}）` }));
    return node("div", { class: "chips" },
      chosen.map((name) => node("span", { class: "token" }, name, node("button", {
        type: "button", "aria-label": `去掉${name}`,
        onclick: () => { step.materials = chosen.filter((one) => one !== name); changed(); draw(); },
      }, "×"))),
      rest.length > 0 && select([{ key: "", label: chosen.length ? "再加一个…" : "添加素材…" }, ...rest], "", (name) => {
        step.materials = [...chosen, name];
        changed();
        draw();
      }, { "aria-label": "添加素材" }));
  }

  function body(step, place) {
    const day = node("input", { class: "input", inputmode: "numeric", value: step.day });
    day.addEventListener("input", () => {
      const typed = day.value.trim().replace("－", "-");
      step.day = /^-?\d+$/.test(typed) ? Number(typed) : typed;
      changed();
    });
    day.addEventListener("change", draw);
    const title = node("input", { class: "input", value: step.title, maxlength: 40, placeholder: "导购在清单里看到的，例如：首周关怀", autocomplete: "off" });
    title.addEventListener("input", () => {
      step.title = title.value;
      const name = title.closest(".step-card").querySelector(".step-name");
      name.textContent = step.title || "还没有标题";
      name.classList.toggle("is-empty", !step.title);
      changed();
    });
    const at = (key, made) => {
      const isWrong = wrong && wrong.place === place && wrong.key === key;
      if (!isWrong) return made;
      made.classList.add("is-wrong");
      made.append(node("span", { class: "wrong", role: "alert" }, wrong.words));
      return made;
    };
    const templates = templateInputs(step, catalog, changed, draw);
    const known = PRIORITIES.map(([key, label]) => ({ key, label: `${label}（${key}）` }));
    const priority = String(step.priority ?? 50);
    if (!known.some((one) => one.key === priority)) known.push({ key: priority, label: priority });
    known.sort((a, b) => Number(b.key) - Number(a.key));
    return node("div", { class: "step-body" },
      node("div", { class: "step-grid" },
        at("day", field("第几天", day)),
        at("at", node("div", { class: "field" }, node("span", {}, "时间"), timeInputs(step))),
        at("kind", kindInput(step, catalog, changed, draw)),
        at("priority", field("优先级", select(known, priority, (value) => { step.priority = Number(value); changed(); })))),
      at("title", field("标题", title)),
      templates && at("template", templates),
      at("talking_point", node("div", { class: "field" }, node("label", { class: "field" }, node("span", {}, needsWords(step, catalog) ? "话术" : "话术（可不选）"), pointPick(step)), words(step))),
      at("materials", node("div", { class: "field" }, node("span", {}, "素材"), materials(step))),
      moreInputs(step, catalog, at, changed),
      node("div", { class: "step-foot" },
        node("button", { class: "link", type: "button", onclick: () => copy(step) }, "复制一步"),
        state.steps.length > 1 && node("button", { class: "link is-red", type: "button", onclick: () => remove(step) }, "删除")));
  }

  function copy(step) {
    const { key, ...rest } = structuredClone(step);
    state.steps.push(rest);
    open.add(rest);
    changed();
    draw();
  }

  function remove(step) {
    state.steps.splice(state.steps.indexOf(step), 1);
    changed();
    draw();
  }

  function draw() {
    sort();
    box.replaceChildren(...state.steps.map((step, place) => {
      const isOpen = open.has(step);
      const head = node("button", {
        class: "step-head", type: "button", "aria-expanded": isOpen ? "true" : "false",
        onclick: () => { if (isOpen) open.delete(step); else open.add(step); draw(); },
      },
      node("span", { class: "step-when" }, when(step, entry().isFixed)),
      node("span", { class: step.title ? "step-name" : "step-name is-empty" }, step.title || "还没有标题"),
      node("span", { class: "step-more faint" }, isOpen ? "收起" : [...templateNames(step, catalog), step.talking_point, ...(step.materials || [])].filter(Boolean).join(" · ") || "没有话术"));
      const isWrong = wrong && wrong.place === place;
      return node("li", { class: "step" }, node("div", { class: isWrong ? "step-card is-wrong" : "step-card" }, head, isOpen && body(step, place)));
    }));
  }

  return {
    draw,
    add() {
      const last = state.steps[state.steps.length - 1];
      const step = { day: last ? (Number(last.day) || 0) + 7 : 0, at: "10:00", kind: "chat", title: "", priority: 50 };
      state.steps.push(step);
      open.clear();
      open.add(step);
      changed();
      draw();
      box.lastElementChild?.querySelector("input.input[maxlength]")?.focus();
    },
    /** Put a sentence beside the input of one step; null takes it away. */
    mark(place, key, text) {
      wrong = place === null ? null : { place, key, words: text };
      if (wrong && state.steps[place]) open.add(state.steps[place]);
      draw();
      box.querySelector(".is-wrong")?.scrollIntoView({ block: "center" });
    },
  };
}
