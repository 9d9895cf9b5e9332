// The steps (步骤) as a timeline: one line each, opened to be changed, in the order of days.
import { field, node, repaint, select, toast } from "./dom.js";
import { fitToKind, moreInputs, needsWords, priorityInput, spread, templateInputs } from "./extras.js";
import { dayInput, timeInput, when } from "./times.js";
import { kindsOf, wayInput } from "./ways.js";

export function steps(box, state, catalog, onchange) {
  const entry = () => catalog.triggers.find((one) => one.key === state.trigger.kind) || catalog.triggers[0];
  const open = new Set(state.steps.length === 1 ? state.steps : []);
  const names = new WeakMap();
  let told = new WeakMap();
  let last = 0;
  for (const step of state.steps) spread(step, catalog);

  function idOf(step) {
    if (!names.has(step)) names.set(step, `n${last += 1}`);
    return names.get(step);
  }

  function sorted() {
    const rank = (step) => (/^\d/.test(step.at || "") ? step.at.padStart(5, "0") : "");
    return [...state.steps].sort((a, b) => (Number(a.day) || 0) - (Number(b.day) || 0) || rank(a).localeCompare(rank(b)));
  }

  /** The line of a step follows what is typed below it; nothing else moves. */
  function renew(step) {
    const card = box.querySelector(`[data-key="${idOf(step)}"]`);
    if (!card) return;
    card.querySelector(".step-when").textContent = when(step, entry().isFixed);
    const name = card.querySelector(".step-name");
    name.textContent = step.title || "还没有标题";
    name.classList.toggle("is-empty", !step.title);
    const more = card.querySelector(".step-more");
    more.textContent = open.has(step) ? "收起" : [told.get(step)?.way, step.talking_point, ...(step.materials || [])].filter(Boolean).join(" · ");
    const said = card.querySelector(".step-said");
    if (said) said.textContent = told.get(step)?.words || told.get(step)?.wrong || "";
  }

  function words(step) {
    const filled = state.sample.filled[step.talking_point] || [];
    if (!filled.length) return null;
    return node("div", {},
      node("blockquote", { class: "bubble" }, filled[0]),
      filled.length > 1 && node("p", { class: "variants" }, `还有 ${filled.length - 1} 种说法，发送时轮换`));
  }

  function pointPick(step, changed) {
    const isForMany = kindsOf(step, catalog).some((one) => one.isForMany);
    const made = node("select", { class: "select" }, node("option", { value: "" }, "选择话术…"));
    const scenes = new Map();
    for (const one of catalog.points) {
      if (!scenes.has(one.scene)) scenes.set(one.scene, node("optgroup", { label: one.scene }));
      // A text for many may not speak of one; such a choice is there, with its reason, but cannot be taken.
      const isOff = isForMany && one.isPersonal && one.name !== step.talking_point;
      scenes.get(one.scene).append(node("option", { value: one.name, disabled: isOff }, isOff ? `${one.name}（有每位客户不同的内容）` : one.name));
    }
    made.append(...scenes.values());
    const isKnown = catalog.points.some((one) => one.name === step.talking_point);
    if (step.talking_point && !isKnown) made.append(node("option", { value: step.talking_point }, step.talking_point));
    made.value = step.talking_point || "";
    made.addEventListener("change", () => { step.talking_point = made.value || undefined; changed(); draw(); });
    return made;
  }

  function materials(step, changed) {
    const chosen = step.materials || [];
    const isMoment = step.kind === "moment";
    const rest = catalog.materials.filter((one) => !chosen.includes(one.name) && (one.isForMoments || !isMoment)).map((one) => ({ key: one.name, label: `${one.name}（${one.kind}）` }));
    const nothing = isMoment ? "还没有能放进朋友圈的图片或视频" : "还没有素材";
    return node("div", { class: "chips" },
      chosen.map((name) => node("span", { class: "token" }, name, node("button", {
        type: "button", "aria-label": `去掉${name}`,
        onclick: () => { step.materials = chosen.filter((one) => one !== name); changed(); draw(); },
      }, "×"))),
      rest.length > 0 && select([{ key: "", label: chosen.length ? "再加一个…" : "添加素材…" }, ...rest], "", (name) => {
        step.materials = [...chosen, name];
        changed();
        draw();
      }, { "aria-label": "添加素材" }),
      !rest.length && !chosen.length && node("span", { class: "faint" }, nothing));
  }

  function body(step) {
    const changed = () => { onchange(); renew(step); };
    const title = node("input", { class: "input", value: step.title, maxlength: 40, placeholder: "导购在清单里看到的，例如：首周关怀", autocomplete: "off" });
    title.addEventListener("input", () => { step.title = title.value; changed(); });
    const at = (key, made) => {
      made.dataset.at = `steps.${idOf(step)}.${key}`;
      return made;
    };
    const settle = () => { fitToKind(step, catalog); changed(); draw(); };
    const templates = templateInputs(step, catalog, changed, draw);
    const label = needsWords(step, catalog) ? "话术" : "话术（可不选）";
    return node("div", { class: "step-body" },
      at("title", field("标题", title)),
      node("div", { class: "step-grid" },
        at("day", dayInput(step, changed)),
        at("at", timeInput(step, entry(), changed, draw)),
        at("priority", priorityInput(step, changed))),
      at("kind", wayInput(step, catalog, settle)),
      templates && at("template", templates),
      at("talking_point", node("div", { class: "field" }, field(label, pointPick(step, changed)), words(step))),
      at("materials", node("div", { class: "field" }, node("span", {}, "素材"), materials(step, changed))),
      moreInputs(step, catalog, at, changed),
      node("div", { class: "step-foot" },
        node("p", { class: "step-said", "aria-live": "polite" }),
        node("button", { class: "link", type: "button", onclick: () => copy(step) }, "复制一步"),
        state.steps.length > 1 && node("button", { class: "link is-red", type: "button", onclick: () => remove(step) }, "删除")));
  }

  function unfold(step) {
    open.add(step);
    draw();
    box.querySelector(`[data-key="${idOf(step)}"] input[maxlength]`)?.focus();
  }

  function copy(step) {
    const { key, ...rest } = structuredClone(step);
    state.steps.splice(state.steps.indexOf(step) + 1, 0, rest);
    onchange();
    unfold(rest);
  }

  function remove(step) {
    const place = state.steps.indexOf(step);
    state.steps.splice(place, 1);
    onchange();
    draw();
    toast(`已删除「${step.title || "没有标题的一步"}」`, () => {
      state.steps.splice(place, 0, step);
      onchange();
      draw();
    });
  }

  function draw() {
    repaint(box, ...state.steps.map((step) => {
      const isOpen = open.has(step);
      const head = node("button", {
        class: "step-head", type: "button", "aria-expanded": isOpen ? "true" : "false",
        // A step finds its place among the days when the hand has left it, not while it is typed.
        onclick: () => { if (isOpen) { open.delete(step); state.steps = sorted(); } else open.add(step); draw(); },
      }, node("span", { class: "step-when" }), node("span", { class: "step-name" }), node("span", { class: "step-more faint" }));
      return node("li", { class: "step", "data-key": idOf(step) },
        node("div", { class: "step-card", "data-at": `steps.${idOf(step)}` }, head, isOpen && body(step)));
    }));
    for (const step of state.steps) renew(step);
  }

  return {
    draw,
    sorted,
    /** What the server said of each step, in the order they were sent. */
    tell(sent, words) {
      told = new WeakMap(sent.map((step, place) => [step, words[place]]));
      for (const step of state.steps) renew(step);
    },
    add() {
      const before = state.steps[state.steps.length - 1];
      const step = { day: before ? (Number(before.day) || 0) + 7 : 0, at: "10:00", kind: "chat", title: "" };
      state.steps = sorted();
      state.steps.push(step);
      open.clear();
      onchange();
      unfold(step);
    },
    /** The path of an input of one step as the page knows it, the step unfolded. */
    pathOf(step, key) {
      if (!open.has(step)) { open.add(step); draw(); }
      return ["steps", idOf(step), key].filter(Boolean).join(".");
    },
  };
}
