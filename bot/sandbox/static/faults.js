// Things that go wrong at the platform and on the line (故障), each said in plain words.
import { act, pressed, say } from "./api.js";
import { h, redraw } from "./dom.js";
import { catchUp, on, state } from "./state.js";

// A knob is on or off; a fault strikes some calls and is used up.
const KNOBS = [
  { knob: "latency", value: 3, name: "接口延迟", words: "平台每次回答都慢 3 秒，欢迎语还赶得上吗？" },
  { knob: "callback_loss", value: 0.5, name: "回调丢失", words: "一半的回调再也不会来，要靠对账补上。" },
  { knob: "callback_duplicate", value: 1, name: "回调重复", words: "每条回调都来两遍，不该有第二次欢迎。" },
  { knob: "callback_reorder", value: 8, name: "回调乱序", words: "每条回调随机晚到几秒，先后会颠倒。" },
];
const FAULTS = [
  { code: -1, times: 5, name: "系统繁忙 −1", words: "接下来 5 次调用，平台都说「稍后再试」。" },
  { code: 45009, times: 10, name: "频率限制 45009", words: "接下来 10 次调用，平台都说「次数用完了」。" },
  { code: 45033, times: 10, name: "并发限制 45033", words: "接下来 10 次调用，平台都说「同时来得太多」。" },
];

export class Faults {
  constructor() {
    this.list = h("div", { class: "fault-list" });
    this.face = h("button", { type: "button", class: "text-button", "aria-expanded": "false", onclick: () => this.toggle() }, "制造一点故障");
    this.drawer = h("div", { class: "fault-drawer", hidden: true, role: "dialog", "aria-label": "制造一点故障" },
      h("div", { class: "block-head" }, h("h2", {}, "制造一点故障"), h("button", { type: "button", class: "text-button", onclick: () => this.toggle(false) }, "收起")),
      h("p", { class: "hint" }, "平台和网络都会出错。打开一样，再去扫码、买东西，看助手怎么应付。"),
      this.list,
      h("button", { type: "button", class: "plain-button is-wide", onclick: (event) => this.reset(event.currentTarget) }, "全部恢复正常"));
    on("world", () => this.draw());
  }

  toggle(isOpen = this.drawer.hidden) {
    this.drawer.hidden = !isOpen;
    this.face.setAttribute("aria-expanded", String(isOpen));
  }

  draw() {
    const { knobs, faults } = state.world;
    const left = (code) => faults.filter((one) => one.kind === "errcode" && one.value === code).reduce((sum, one) => sum + (one.times_left || 0), 0);
    const on_ = KNOBS.map((one) => knobs[one.knob] > 0);
    const counts = FAULTS.map((one) => left(one.code));
    const active = on_.filter(Boolean).length + counts.filter(Boolean).length;
    this.face.textContent = active ? `故障进行中 ${active} 项` : "制造一点故障";
    this.face.classList.toggle("is-warning", active > 0);
    redraw(this.list, [on_, counts], () => [
      ...KNOBS.map((one, index) => this.line(one, on_[index] ? "已打开" : "打开", on_[index], () => act("turn_knobs", { [one.knob]: on_[index] ? 0 : one.value }))),
      ...FAULTS.map((one, index) => this.line(one, counts[index] ? `还剩 ${counts[index]} 次` : "来一波", counts[index] > 0, () => act("add_fault", { api: "*", kind: "errcode", value: one.code, times: one.times }))),
      this.line({ name: "令牌失效", words: "手里的令牌立刻作废，要自己换新的。" }, "作废", false, async () => { await act("expire_tokens"); say("所有令牌都作废了。"); }),
    ]);
  }

  line({ name, words }, label, isOn, work) {
    const go = (event) => pressed(event.currentTarget, async () => { await work(); await catchUp(); });
    return h("div", { class: `fault ${isOn ? "is-on" : ""}` }, h("div", {}, h("strong", {}, name), h("p", {}, words)),
      h("button", { type: "button", class: "plain-button is-small", "aria-pressed": String(isOn), onclick: go }, label));
  }

  reset(button) {
    return pressed(button, async () => {
      await act("reset_knobs");
      await catchUp();
      say("一切恢复正常。");
    });
  }
}
