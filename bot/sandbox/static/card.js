// Template cards (模板卡片): what they show, what can be pressed, and what is left afterwards.
import { h } from "./dom.js";

export function templateCard(card, tools) {
  const chosen = {};
  const url = card.card_action?.type === 1 ? card.card_action.url : "";
  const title = card.main_title?.title || "";
  return h("article", { class: `card ${card.card_type || ""}` },
    h("div", { class: `card-face ${url ? "opens" : ""}`, ...pressable(url, title, tools) },
      source(card), face(card)),
    rows(card, tools),
    picks(card, chosen, tools),
    buttons(card, chosen, tools),
    jumps(card, tools));
}

function pressable(url, title, { open }) {
  if (!url) return {};
  return {
    role: "button", tabindex: 0,
    onclick: () => open(url, title),
    onkeydown: (event) => event.key === "Enter" && open(url, title),
  };
}

function source(card) {
  return card.source?.desc && h("span", { class: "card-source" }, card.source.desc);
}

function face(card) {
  const main = card.main_title || {};
  const figure = card.emphasis_content;
  const image = card.card_image?.url || card.image_text_area?.image_url;
  return [
    main.title && h("span", { class: "card-title" }, main.title),
    main.desc && h("span", { class: "card-desc" }, main.desc),
    figure && h("span", { class: "card-figure" }, h("strong", {}, figure.title), figure.desc),
    /^https?:/.test(image || "") && h("img", { class: "card-image", src: image, alt: "" }),
    card.quote_area && h("span", { class: "card-quote" }, card.quote_area.title, card.quote_area.quote_text),
    card.sub_title_text && h("span", { class: "card-text" }, card.sub_title_text),
    (card.vertical_content_list || []).map((one) => h("span", { class: "card-text" }, one.title)),
  ];
}

function rows(card, { open }) {
  const list = card.horizontal_content_list || [];
  if (!list.length) return null;
  const value = (row) => row.type === 1 && row.url
    ? h("button", { type: "button", class: "card-link", onclick: () => open(row.url, row.keyname) }, row.value || row.keyname)
    : row.value;
  return h("dl", { class: "card-rows" }, list.map((row) => h("div", {}, h("dt", {}, row.keyname), h("dd", {}, value(row)))));
}

// Questions of a card: a drop-down, several of them, or boxes to tick.
function picks(card, chosen, { isDone }) {
  const lists = card.button_selection ? [card.button_selection] : card.select_list || [];
  const drops = lists.map((one) => {
    const box = h("select", { disabled: isDone || one.disable, "aria-label": one.title || "请选择" },
      (one.option_list || []).map((option) => h("option", { value: option.id, selected: option.id === one.selected_id }, option.text)));
    const note = () => { chosen[one.question_key] = [box.value]; };
    box.addEventListener("change", note);
    note();
    return h("label", { class: "card-pick" }, one.title && h("span", {}, one.title), box);
  });
  return [...drops, ticks(card.checkbox, chosen, isDone)];
}

function ticks(question, chosen, isDone) {
  if (!question) return null;
  const single = question.mode !== 1;
  const boxes = (question.option_list || []).map((option) =>
    h("input", { type: single ? "radio" : "checkbox", name: question.question_key, value: option.id, checked: option.is_checked, disabled: isDone }));
  const note = () => { chosen[question.question_key] = boxes.filter((one) => one.checked).map((one) => one.value); };
  boxes.forEach((one) => one.addEventListener("change", note));
  note();
  return h("div", { class: "card-ticks" }, boxes.map((box, index) => h("label", {}, box, question.option_list[index].text)));
}

function buttons(card, chosen, { press, open, isDone, doneText }) {
  const all = [...(card.button_list || []), ...(card.submit_button ? [card.submit_button] : [])];
  const more = card.action_menu?.action_list || [];
  if (!all.length && !more.length) return null;
  if (isDone) return h("div", { class: "card-buttons" }, h("button", { type: "button", disabled: true, class: "card-button is-done" }, doneText));
  const one = (button, style) => h("button", {
    type: "button", class: `card-button style-${style}`,
    onclick: (event) => (button.type === 1 ? open(button.url, button.text) : press(button.key, chosen, event.currentTarget)),
  }, button.text);
  return h("div", { class: `card-buttons of-${Math.min(all.length + more.length, 3)}` },
    all.map((button, index) => one(button, button.style || (index === 0 ? 1 : 4))), more.map((button) => one(button, 4)));
}

function jumps(card, { open }) {
  const list = (card.jump_list || []).filter((one) => one.type === 1);
  return list.map((one) => h("button", { type: "button", class: "card-jump", onclick: () => open(one.url, one.title) }, one.title));
}
