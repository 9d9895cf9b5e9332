// The phone on the right: a guide's messages, her customers, and the app she writes to.
import { act, complain, look, pressed } from "./api.js";
import { ICONS, avatar, badge, fill, h, redraw } from "./dom.js";
import { Handset, composer, head, tab } from "./handset.js";
import { drawCustomers, drawPerson } from "./guide_people.js";
import { gist } from "./messages.js";
import { catchUp, emit, now, on, state } from "./state.js";
import { Thread } from "./thread.js";
import { Unread } from "./unread.js";
import { spoken } from "./when.js";

const APP = document.body.dataset.app;
const TODAY = `${document.body.dataset.appOrigin}/h5/today`;
const WAITING = 2; // A 客服 conversation that no person has taken yet.
const CHIPS = ["今日", "完成 1", "跳过 1", "客户", "业绩", "帮助"];

export class GuidePhone {
  constructor(seat, holder) {
    this.phone = new Handset(seat, { kind: "guide", holder });
    this.unread = new Unread();
    this.lists = h("div", { class: "rows" });
    this.chatMessages = [];
    this.thread = new Thread({ draw: (message) => this.draw(message), typing: (is) => this.typing(is) });
    on("guide-changed", () => { this.phone.close(); this.go("app"); });
    on("guide", () => this.update());
    on("beat", () => this.thread.restamp());
    this.go("app");
  }

  go(where) {
    const { phone } = this;
    const name = { list: "消息", customers: "客户" }[where];
    if (name) phone.show(where, { head: head(name), body: this.lists, withTabs: true });
    else if (where.startsWith("person:")) {
      phone.show(where, { head: head("客户资料", { back: { go: () => this.go("customers") } }), body: this.lists });
    } else {
      const isApp = where === "app";
      this.thread.start("");
      this.title = head("", { back: { go: () => this.go("list") } });
      this.chatName = isApp ? APP : "";
      phone.show(where, { head: this.title, body: this.thread.list, foot: composer(isApp ? "写「今日」看看今天要联系谁" : "写点什么…", (text) => this.send(text), isApp ? CHIPS : null) });
    }
    this.lists.drawnFrom = undefined;
    this.update();
    emit("look");
  }

  update() {
    const data = state.guide;
    if (!data) {
      this.lists.drawnFrom = undefined;
      fill(this.lists);
      this.tabs();
      return;
    }
    const arrived = this.unread.take(state.userid, [["app", data.app], ...this.friends().map((one) => [`chat:${one.external_userid}`, one.messages]), ...data.kf.map((one) => [this.kfKey(one), one.messages])]);
    const { where } = this.phone;
    if (where === "app") this.drawThread("app", APP, "应用消息", data.app);
    else if (where === "list") this.drawList();
    else if (where === "customers") redraw(this.lists, [data.requests, data.customers, data.outgoing], () => drawCustomers(this, data));
    else if (where.startsWith("person:")) this.drawPerson(where.slice(7));
    else if (where.startsWith("kf:")) this.drawService();
    else this.drawChat(where.slice(5));
    this.announce(arrived);
    this.tabs();
  }

  // Friends with their last message only; the whole chat is looked at when it is open.
  friends() {
    const people = [...state.guide.requests.filter((one) => one.stage === "half"), ...state.guide.customers];
    return people.map((one) => ({ ...one, messages: one.last ? [one.last] : [] }));
  }

  kfKey(one) {
    return `kf:${one.open_kfid}:${one.external_userid}`;
  }

  announce(arrived) {
    for (const [key, message] of arrived) {
      if (key === this.phone.where || ["member", "guide", "welcome", "servicer"].includes(message.sender)) continue;
      const friend = this.friends().find((one) => `chat:${one.external_userid}` === key);
      this.phone.tell(friend ? friend.remark || friend.name : key === "app" ? APP : "客服消息", gist(message), () => this.go(key));
    }
  }

  tabs() {
    const { where } = this.phone;
    const data = state.guide;
    const waiting = data ? this.conversations().reduce((sum, one) => sum + one.count, 0) : 0;
    const asking = data ? data.requests.length + data.outgoing.mass.length + data.outgoing.moments.length : 0;
    redraw(this.phone.tabbar, [where, waiting, asking], () => [
      tab("消息", ICONS.chat, where === "list", waiting, () => this.go("list")),
      tab("客户", ICONS.people, where === "customers", asking, () => this.go("customers")),
      tab("今日待办", ICONS.list, false, 0, () => this.phone.open(TODAY, "今日待办")),
    ]);
  }

  conversations() {
    const data = state.guide;
    const count = (key, messages, mine) => (key === this.phone.where ? 0 : this.unread.count(state.userid, key, messages, mine));
    const app = { key: "app", name: APP, isApp: true, last: data.app.at(-1), count: count("app", data.app, "member") };
    const services = data.kf.map((one) => ({ key: this.kfKey(one), name: one.customer_name, isService: true, last: one.messages.at(-1), count: count(this.kfKey(one), one.messages, "servicer") }));
    const people = this.friends().filter((one) => one.last).map((one) => {
      const key = `chat:${one.external_userid}`;
      const unread = one.last.sender === "customer" ? count(key, one.messages, "guide") : 0;
      return { key, name: one.remark || one.name, last: one.last, count: unread };
    });
    const rest = [...services, ...people].sort((a, b) => (b.last?.at || 0) - (a.last?.at || 0));
    return [app, ...rest];
  }

  drawList() {
    const all = this.conversations();
    const shown = all.map((one) => [one.key, one.name, one.count, one.last, one.last && spoken(one.last.at, now(), { short: true })]);
    redraw(this.lists, shown, () => all.map((one) =>
      h("button", { type: "button", class: "row", data: { chat: one.key }, onclick: () => this.go(one.key) },
        h("span", { class: "row-face" }, one.isApp ? h("span", { class: "avatar app-mark", "aria-hidden": "true" }, "导") : avatar(one.name), badge(one.count)),
        h("span", { class: "row-text" },
          h("span", { class: "row-name" }, one.name, h("i", { class: one.isApp || one.isService ? "kind" : "outside" }, one.isApp ? "应用" : one.isService ? "客服" : "@客户")),
          h("span", { class: "row-line" }, one.last ? gist(one.last) : "早上会收到今天的待办")),
        h("time", {}, one.last ? spoken(one.last.at, now(), { short: true }) : ""))));
  }

  drawPerson(externalUserid) {
    const person = [...state.guide.customers, ...state.guide.requests].find((one) => one.external_userid === externalUserid);
    if (!person) this.go("customers");
    else redraw(this.lists, person, () => drawPerson(this, person));
  }

  drawThread(key, name, note, messages) {
    this.chatName = name;
    this.typing(this.isTyping);
    const line = this.title.querySelector(".head-note") || this.title.querySelector(".head-title").appendChild(h("span", { class: "head-note" }));
    line.textContent = note;
    const back = this.title.querySelector(".head-back");
    const others = this.conversations().filter((one) => one.key !== key).reduce((sum, one) => sum + one.count, 0);
    let count = back.querySelector(".back-count");
    if (!count) back.append((count = h("b", { class: "back-count" })));
    redraw(count, others, () => [others || ""]);
    this.thread.show(`${state.userid}/${key}`, messages);
    this.unread.read(state.userid, key, messages);
    this.thread.list.dataset.empty = key === "app" ? "早上会收到今天的待办。现在也可以点下面的「今日」。" : "说句问候吧。";
  }

  async drawChat(externalUserid) {
    const friend = this.friends().find((one) => one.external_userid === externalUserid);
    if (!friend) {
      this.go("list");
      return;
    }
    const here = this.phone.where;
    const { userid } = state;
    try {
      const { messages } = await chatOf(userid, externalUserid);
      if (this.phone.where === here && state.userid === userid) this.drawThread(here, friend.remark || friend.name, "客户", messages);
    } catch (error) {
      complain(error);
    }
  }

  drawService() {
    const found = state.guide.kf.find((one) => this.kfKey(one) === this.phone.where);
    if (!found) {
      this.go("list");
      return;
    }
    const take = found.state === WAITING;
    this.drawThread(this.phone.where, found.customer_name, take ? `${found.name} · 等人接待` : `${found.name} · 您在接待`, found.messages);
    const foot = this.phone.view.querySelector(".foot");
    let bar = foot.querySelector(".service-bar");
    if (!bar) foot.prepend((bar = h("div", { class: "service-bar" })));
    const who = { userid: state.userid, external_userid: found.external_userid, open_kfid: found.open_kfid };
    const doing = (name) => (event) => pressed(event.currentTarget, async () => { await act(name, who); await catchUp(); });
    redraw(bar, take, () => [h("button", { type: "button", class: "chip", onclick: doing(take ? "kf_servicer_takes" : "kf_servicer_ends") }, take ? "接待这位客户" : "结束接待")]);
  }

  typing(isTyping) {
    this.isTyping = Boolean(isTyping);
    const name = this.title?.querySelector(".head-name");
    const words = this.isTyping ? "对方正在输入…" : this.chatName || "";
    if (name && name.textContent !== words) name.textContent = words;
  }

  draw(message) {
    if (message.sender === "system") return { side: "middle", words: message.content.content };
    if (message.is_recalled) return { side: "middle", words: "这条消息已撤回" };
    const isApp = this.phone.where === "app";
    const isMine = ["member", "guide", "welcome", "servicer"].includes(message.sender) || (message.sender === "app" && !isApp);
    const name = isMine ? state.guide.guide.name : isApp ? "导" : this.chatName;
    return {
      side: isMine ? "right" : "left",
      name,
      mark: isApp && !isMine ? "app-mark" : "",
      tools: {
        open: (url, title) => this.phone.open(url, title),
        press: (key, selected, button) => this.press(message, key, selected, button),
        isDone: Boolean(message.replaced),
        doneText: message.replaced,
      },
    };
  }

  press(message, key, selected, button) {
    return pressed(button, async () => {
      button.classList.add("is-pressed");
      try {
        await act("click_card", { userid: state.userid, msgid: message.msgid, key, selected });
        await catchUp();
      } finally {
        button.classList.remove("is-pressed");
      }
    });
  }

  async send(text) {
    const [kind, first, second] = this.phone.where.split(":");
    const { userid } = state;
    try {
      if (kind === "app") await act("write_to_app", { userid, text });
      else if (kind === "kf") await act("kf_servicer_writes", { userid, external_userid: second, open_kfid: first, text });
      else await act("chat", { userid, external_userid: first, sender: "guide", text });
      await catchUp();
      return true;
    } catch (error) {
      complain(error);
      return false;
    }
  }
}

const chatOf = (userid, externalUserid) => look(`chat/${encodeURIComponent(userid)}/${encodeURIComponent(externalUserid)}`);
