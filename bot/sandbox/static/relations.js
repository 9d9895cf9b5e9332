// What else may happen between the two: joining, giving back, and parting.
import { act, pressed, say } from "./api.js";
import { fill, h } from "./dom.js";
import { catchUp, now, on, state } from "./state.js";
import { dayNumber, isoDay, money, spoken } from "./when.js";

const LEVELS = ["银卡", "金卡", "钻石卡"];
const SOON = 10; // Days until the birthday that the form proposes: near enough to see its task.

export class Relations {
  constructor() {
    this.form = h("div", { class: "drawer-inline", hidden: true });
    this.join = this.button("注册会员", () => this.open("join", () => this.joining()));
    this.giveBack = this.button("退货", () => this.open("refund", () => this.refunding()));
    this.leaveGuide = this.button("客户删除导购", (event) => this.part(event.currentTarget, true), "is-grave");
    this.leaveCustomer = this.button("导购删除客户", (event) => this.part(event.currentTarget, false), "is-grave");
    this.element = h("section", { class: "block relations" }, h("div", { class: "four" }, this.join, this.giveBack, this.leaveGuide, this.leaveCustomer), this.form);
    on("customer", () => this.draw());
    on("guide", () => this.draw());
    on("customer-changed", () => this.shut());
  }

  button(words, onclick, kind = "") {
    return h("button", { type: "button", class: `plain-button is-small ${kind}`, onclick }, words);
  }

  chat() {
    return state.customer?.chats.find((one) => one.userid.toLowerCase() === state.userid.toLowerCase());
  }

  draw() {
    const chat = this.chat();
    const guide = state.guide?.guide.name || "这位导购";
    this.able(this.giveBack, this.returnable().length, "她还没有在这里买过东西");
    this.able(this.leaveGuide, chat && !chat.deleted_at, `她现在不是${guide}的好友`);
    this.able(this.leaveCustomer, chat && chat.stage === "friend", `她现在不是${guide}的客户`);
  }

  able(button, is, why) {
    button.disabled = !is;
    button.title = is ? "" : why;
  }

  returnable() {
    return (state.customer?.orders || []).filter((one) => one.refunded_fen < one.amount_fen);
  }

  open(name, draw) {
    const isSame = !this.form.hidden && this.form.dataset.name === name;
    if (isSame) return this.shut();
    this.form.dataset.name = name;
    fill(this.form, draw());
    this.form.hidden = false;
    this.form.scrollIntoView({ block: "nearest" });
    return undefined;
  }

  shut() {
    this.form.hidden = true;
  }

  joining() {
    const { customer } = state.customer;
    const tail = String(Math.floor(Math.random() * 1e8)).padStart(8, "0");
    const mobile = h("input", { type: "tel", value: customer.mobile || `139${tail}`, maxlength: 11, pattern: "1[0-9]{10}", required: true });
    const birthday = h("input", { type: "date", value: `1993${isoDay(dayNumber(now()) + SOON).slice(4).replace("-02-29", "-02-28")}`, required: true });
    const level = h("select", {}, LEVELS.map((one) => h("option", {}, one)));
    const field = (name, box) => h("label", {}, h("span", {}, name), box);
    const submit = (event) => {
      event.preventDefault();
      pressed(event.submitter, async () => {
        await act("enroll", { external_userid: state.customerId, member_no: customer.member_no || `XH${tail}`, mobile: mobile.value, birthday: birthday.value, level: level.value });
        await catchUp();
        this.shut();
        say(`会员资料已从收银台报上去：${level.value}。`);
      });
    };
    return h("form", { onsubmit: submit }, field("手机", mobile), field("生日", birthday), field("等级", level),
      h("button", { type: "submit", class: "plain-button is-main is-small" }, "登记"), this.cancel());
  }

  refunding() {
    const orders = this.returnable();
    const which = h("select", { "aria-label": "哪一单" }, orders.map((one) => h("option", { value: one.order_no }, `${one.names.join("、")} ${money(one.amount_fen - one.refunded_fen)} · ${spoken(one.at, now(), { short: true })}`)));
    const submit = (event) => {
      event.preventDefault();
      pressed(event.submitter, async () => {
        const order = orders.find((one) => one.order_no === which.value);
        await act("refund", { external_userid: state.customerId, order_no: order.order_no, amount_fen: order.amount_fen - order.refunded_fen });
        await catchUp();
        this.shut();
        say(`退了 ${money(order.amount_fen - order.refunded_fen)}。`);
      });
    };
    return h("form", { onsubmit: submit }, which, h("button", { type: "submit", class: "plain-button is-main is-small" }, "整单退"), this.cancel());
  }

  cancel() {
    return h("button", { type: "button", class: "text-button", onclick: () => this.shut() }, "不了");
  }

  part(button, isCustomer) {
    const who = { external_userid: state.customerId, userid: this.chat().userid };
    return pressed(button, async () => {
      await act(isCustomer ? "customer_deletes_guide" : "guide_deletes_customer", who);
      await catchUp();
      say(isCustomer ? "客户删掉了导购，看看导购会不会知道。" : "导购删掉了客户。");
    }).then(() => this.draw());
  }
}
