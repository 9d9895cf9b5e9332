// Who holds a phone: the name above it, and the drawer to pick somebody else.
import { act, complain, look, pressed, say } from "./api.js";
import { avatar, fill, h, redraw } from "./dom.js";
import { catchUp, holdCustomer, holdGuide, on, state } from "./state.js";

const QUIET = 220; // Milliseconds without a key before we search.

class Picker {
  constructor(label) {
    this.face = h("button", { type: "button", class: "holder", "aria-haspopup": "true", onclick: () => this.toggle() });
    this.box = h("input", { type: "search", class: "search", maxlength: 30, autocomplete: "off", placeholder: label, "aria-label": label });
    this.list = h("div", { class: "pick-list" });
    this.drawer = h("div", { class: "pick-drawer", hidden: true }, this.box, this.list);
    this.element = h("div", { class: "picker" }, this.face, this.drawer);
    this.box.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.search(), QUIET);
    });
    document.addEventListener("pointerdown", (event) => !this.element.contains(event.target) && this.toggle(false));
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.toggle(false));
  }

  toggle(isOpen = this.drawer.hidden) {
    if (this.drawer.hidden === !isOpen || !state.world) return;
    this.drawer.hidden = !isOpen;
    if (!isOpen) return;
    this.box.value = "";
    this.search();
    this.box.focus();
  }

  async take(work) {
    this.toggle(false);
    try {
      await work();
    } catch (error) {
      complain(error);
    }
  }

  show(source, role, name, note, address) {
    redraw(this.face, source, () => [h("span", { class: "holder-role" }, role), avatar(name, "is-small", address), h("strong", {}, name), h("span", { class: "holder-note" }, note), h("span", { class: "holder-swap" }, "换人")]);
  }

  option({ name, note, address, isHere, onclick }) {
    return h("button", { type: "button", class: `pick ${isHere ? "is-here" : ""}`, onclick }, avatar(name, "is-small", address), h("span", { class: "pick-name" }, name), h("small", {}, note));
  }
}

export class CustomerPicker extends Picker {
  constructor() {
    super("按昵称、手机号或会员号找");
    on("customer", () => this.draw());
    on("customer-changed", () => this.draw());
  }

  draw() {
    const customer = state.customer?.customer;
    this.show(customer || null, "顾客", customer?.name || "…", customer?.member_no ? "会员" : "路过的客人", customer?.avatar);
  }

  async search() {
    const asked = this.box.value.trim();
    try {
      const world = asked ? await look("world", { q: asked }) : state.world;
      if (asked !== this.box.value.trim()) return;
      fill(this.list,
        !asked && h("p", { class: "pick-title" }, "正路过门口"),
        world.customers.slice(0, 60).map((one) => this.option({ name: one.name, note: who(one), address: one.avatar, isHere: one.external_userid === state.customerId, onclick: () => this.take(() => holdCustomer(one.external_userid)) })),
        !world.customers.length && h("p", { class: "pick-none" }, asked ? "没有找到这个人。" : "门口暂时没有人，写个昵称请一位来。"),
        asked && h("button", { type: "button", class: "pick is-new", onclick: (event) => this.invite(asked, event.currentTarget) }, `请一位叫「${asked}」的新客人来`));
    } catch (error) {
      complain(error);
    }
  }

  invite(name, button) {
    return pressed(button, async () => {
      const made = await act("add_customer", { name });
      this.toggle(false);
      await catchUp();
      await holdCustomer(made);
      say("新客人拿起了左边的手机。");
    });
  }
}

const who = (one) => [one.member_no, one.mobile && `${one.mobile.slice(0, 3)}****${one.mobile.slice(-4)}`].filter(Boolean).join(" · ") || "新面孔";

export class GuidePicker extends Picker {
  constructor() {
    super("按姓名或门店找");
    on("guide", () => this.draw());
    on("guide-changed", () => this.draw());
  }

  draw() {
    const guide = state.guide?.guide;
    this.show(guide || null, guide?.position === "店长" ? "店长" : "导购", guide?.name || "…", guide?.store || "");
  }

  search() {
    const asked = this.box.value.trim().toLowerCase();
    const found = state.world.guides.filter((one) => [one.name, one.store, one.userid.toLowerCase()].some((text) => text.includes(asked)));
    let store = null;
    const rows = found.flatMap((one) => {
      const title = one.store !== store && h("p", { class: "pick-title" }, one.store);
      store = one.store;
      return [title, this.option({ name: one.name, note: one.position, isHere: one.userid === state.userid, onclick: () => this.take(() => holdGuide(one.userid)) })];
    });
    fill(this.list, rows, !found.length && h("p", { class: "pick-none" }, "没有找到这位导购。"));
  }
}
