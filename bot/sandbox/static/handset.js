// The shell both phones share: status bar, screens, a banner from above, a browser from below.
import { h, fill, icon, ICONS } from "./dom.js";
import { hostOf } from "./messages.js";
import { clock } from "./when.js";
import { now, on } from "./state.js";

const APP_ORIGIN = document.body.dataset.appOrigin;

export class Handset {
  constructor(seat, { kind, holder }) {
    this.kind = kind;
    this.time = h("span", { class: "status-time" }, "");
    this.view = h("div", { class: "view" });
    this.tabbar = h("nav", { class: "tabbar", "aria-label": "手机底栏" });
    this.banner = h("div", { class: "banner", role: "status" });
    this.sheet = h("div", { class: "sheet", hidden: true });
    this.screen = h("div", { class: "screen" }, statusBar(this.time), this.view, this.tabbar, h("span", { class: "home-bar" }), this.banner, this.sheet);
    fill(seat, holder, h("div", { class: `handset ${kind}` }, this.screen));
    on("beat", () => { this.time.textContent = clock(now()); });
    this.where = "";
  }

  // Puts a screen in front: a head, a body, and perhaps something at the foot.
  show(where, { head, body, foot = null, withTabs = false }) {
    const isNew = this.where !== where;
    this.where = where;
    this.screen.dataset.view = where.split(":")[0];
    fill(this.view, head, body, foot);
    this.view.classList.remove("enters");
    if (isNew) {
      void this.view.offsetWidth;
      this.view.classList.add("enters");
    }
    this.tabbar.hidden = !withTabs;
  }

  tell(title, words, onclick) {
    const fresh = h("button", { type: "button", class: "banner-card", onclick: () => { this.banner.classList.remove("is-shown"); onclick?.(); } },
      h("strong", {}, title), h("span", {}, words));
    fill(this.banner, fresh);
    this.banner.classList.add("is-shown");
    clearTimeout(this.hiding);
    this.hiding = setTimeout(() => this.banner.classList.remove("is-shown"), 4200);
  }

  // A page inside the phone. Pages of strangers are named, and opened beside the sandbox.
  open(address, title = "") {
    const url = homely(address);
    if (!url) return;
    const isOurs = url.origin === location.origin || url.origin === APP_ORIGIN;
    const name = h("span", { class: "sheet-title" }, title || url.host);
    const frame = isOurs ? h("iframe", { src: url.href, title: title || "网页", allow: "clipboard-write" }) : stranger(url, title);
    if (isOurs) frame.addEventListener("load", () => { name.textContent = titleOf(frame) || title || url.host; });
    fill(this.sheet,
      h("div", { class: "sheet-head" }, h("button", { type: "button", class: "sheet-close", onclick: () => this.close() }, "关闭"), name, h("span", { class: "sheet-gap" })),
      frame);
    this.sheet.hidden = false;
    requestAnimationFrame(() => this.sheet.classList.add("is-up"));
  }

  close() {
    this.sheet.classList.remove("is-up");
    setTimeout(() => {
      if (this.sheet.classList.contains("is-up")) return;
      this.sheet.hidden = true;
      this.sheet.textContent = "";
    }, 260);
  }
}

export function head(title, { back, note, right } = {}) {
  return h("div", { class: "head" },
    back ? h("button", { type: "button", class: "head-back", onclick: back.go, "aria-label": "返回" }, icon(ICONS.back), back.count > 0 && h("b", { class: "back-count" }, back.count)) : h("span", {}),
    h("div", { class: "head-title" }, h("span", { class: "head-name" }, title), note && h("span", { class: "head-note" }, note)),
    right || h("span", {}));
}

// A line to write in. `send(text)` may refuse by throwing; then the words stay where they were.
export function composer(placeholder, send, chips = null) {
  const box = h("input", { type: "text", class: "composer-box", placeholder, "aria-label": placeholder, maxlength: 500, autocomplete: "off", enterkeyhint: "send" });
  const button = h("button", { type: "submit", class: "composer-send" }, "发送");
  let isSending = false;
  const submit = async (text) => {
    if (!text.trim() || isSending) return;
    isSending = true;
    const isTyped = text === box.value;
    if (isTyped) box.value = "";
    mark();
    if (!(await send(text)) && isTyped && !box.value) box.value = text;
    isSending = false;
    mark();
  };
  const mark = () => button.classList.toggle("is-ready", Boolean(box.value.trim()));
  const form = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); submit(box.value); } }, box, button);
  box.addEventListener("input", mark);
  const row = chips && h("div", { class: "chips", role: "group", "aria-label": "常用口令" },
    chips.map((text) => h("button", { type: "button", class: "chip", data: { chip: text }, onclick: () => submit(text) }, text)));
  return h("div", { class: "foot" }, row, form);
}

export function tab(name, path, isHere, count, go) {
  return h("button", { type: "button", class: `tab ${isHere ? "is-here" : ""}`, onclick: go },
    h("span", { class: "tab-icon" }, icon(path, 23), count > 0 && h("b", { class: "badge" }, count > 99 ? "99+" : count)), name);
}

function statusBar(time) {
  return h("div", { class: "status" }, time, h("span", { class: "island" }),
    h("span", { class: "status-signs", "aria-hidden": "true" }, h("i", { class: "bars" }, h("i"), h("i"), h("i"), h("i")), h("span", {}, "5G"), h("i", { class: "battery" }, h("i"))));
}

function homely(address) {
  try {
    const url = new URL(address, location.href);
    return ["http:", "https:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

function titleOf(frame) {
  try {
    return frame.contentDocument?.title || "";
  } catch {
    return "";
  }
}

function stranger(url, title) {
  return h("div", { class: "stranger" },
    h("strong", {}, title || hostOf(url.href)),
    h("p", {}, url.host),
    h("p", {}, "这是沙箱外面的网页。在真实的手机上，它会直接在这里打开。"),
    h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer", class: "plain-button" }, "在新窗口打开"));
}
