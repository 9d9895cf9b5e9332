// The first round (走一圈): six steps that tick themselves from what really happened.
import { h, redraw } from "./dom.js";
import { holdCustomer, now, on, recall, remember, state } from "./state.js";
import { dayNumber } from "./when.js";

const STEPS = [
  { name: "扫码", hint: "在中间点一个码，左边的顾客就会扫它。" },
  { name: "看欢迎语", hint: "欢迎语正在路上，看左边的手机。" },
  { name: "买点东西", hint: "挑一件，点「收银」。" },
  { name: "过一天", hint: "点「到明早」，夜里会算好计划。" },
  { name: "看早报", hint: "早报在右边导购的手机上。" },
  { name: "完成 1", hint: "联系完第一位客户，点「完成 1」。" },
];
const MARKS = ["①", "②", "③", "④", "⑤", "⑥"];

export class Tour {
  constructor(element, { customer, guide }) {
    Object.assign(this, { element, customer, guide, isShut: recall("tour") === "shut" });
    for (const event of ["customer", "guide", "world", "look", "all", "time-passed"]) on(event, () => this.draw());
    on("beat", () => this.draw());
    on("customer-changed", () => { this.sawDigest = false; });
  }

  // How many steps are behind us, in order; a later one never counts before an earlier one.
  done() {
    const data = state.customer;
    if (!data) return 0;
    const [chat] = data.chats;
    const order = data.orders.at(-1);
    const morning = order && this.digest(order);
    const checks = [
      () => Boolean(chat),
      () => data.chats.some(greeted),
      () => Boolean(order),
      () => dayNumber(now()) > dayNumber(order.at),
      () => Boolean(morning) && this.looked(),
      () => this.completed(morning),
    ];
    const first = checks.findIndex((check) => !check());
    return first === -1 ? checks.length : first;
  }

  digest(order) {
    return state.guide?.app.findLast((one) => one.msgtype === "template_card" && one.sender === "app"
      && /^今日/.test(one.content.main_title?.title || "") && dayNumber(one.at) > dayNumber(order.at));
  }

  looked() {
    this.sawDigest ||= this.guide.phone.where === "app";
    return this.sawDigest;
  }

  completed(morning) {
    const said = state.guide?.app.find((one) => one.sender === "member" && one.id > morning.id && /^\s*(完成|做完)/.test(one.content.content || ""));
    return Boolean(said) && state.guide.app.some((one) => one.sender === "app" && one.id > said.id);
  }

  draw() {
    const done = this.done();
    document.body.dataset.tour = this.isShut || done >= STEPS.length ? "" : ["scan", "welcome", "buy", "day", "digest", "complete"][done];
    redraw(this.element, [done, this.isShut], () => (this.isShut ? this.folded() : this.steps(done)));
  }

  folded() {
    return [h("button", { type: "button", class: "text-button", onclick: () => this.fold(false) }, "带我走一圈")];
  }

  steps(done) {
    const isOver = done >= STEPS.length;
    const items = STEPS.map((step, index) => h("li", { class: index < done ? "is-done" : index === done ? "is-next" : "", "aria-current": index === done ? "step" : undefined },
      h("i", { class: "mark", "aria-hidden": "true" }, index < done ? "✓" : MARKS[index]), h("span", {}, step.name)));
    return [h("ol", {}, items), h("p", { class: "tour-hint" }, isOver ? "一圈走完了，总部后台已经记上这一笔。" : STEPS[done].hint),
      isOver ? h("button", { type: "button", class: "text-button", onclick: () => this.again() }, "再来一圈")
        : h("button", { type: "button", class: "text-button", onclick: () => this.fold(true) }, "先不看")];
  }

  fold(isShut) {
    this.isShut = isShut;
    remember("tour", isShut ? "shut" : "open");
    this.draw();
  }

  again() {
    const people = state.world.customers;
    const here = people.findIndex((one) => one.external_userid === state.customerId);
    const next = people[(here + 1) % people.length];
    if (next) holdCustomer(next.external_userid);
  }
}

// Welcomed here, or a friend from before this page, when nobody was looking.
function greeted(chat) {
  return chat.messages.some((one) => one.sender === "welcome") || (chat.stage === "friend" && !chat.messages.length);
}

