// The phone on the left: a customer's chats, the scanner, and who she is.
import { act, complain, say } from "./api.js";
import { codesByStore, scanCode } from "./codes.js";
import { ICONS, avatar, badge, fill, h, icon, mount, redraw } from "./dom.js";
import { Handset, composer, head, tab } from "./handset.js";
import { gist } from "./messages.js";
import { catchUp, emit, now, on, state } from "./state.js";
import { Thread } from "./thread.js";
import { Unread } from "./unread.js";
import { money, spoken } from "./when.js";

const CORP = document.body.dataset.corp;
const KF_PATH = `${location.origin}${mount}/kf/`;
const AGAIN = 10_000; // Milliseconds in which opening the same 客服 chat again is one entering.

export class CustomerPhone {
  constructor(seat, holder) {
    this.phone = new Handset(seat, { kind: "customer", holder });
    this.unread = new Unread();
    this.entered = new Map();
    this.lists = h("div", { class: "rows" });
    this.thread = new Thread({ draw: (message) => this.draw(message), typing: (is) => this.typing(is) });
    on("customer-changed", () => { this.phone.close(); this.go("list"); });
    on("customer", () => this.update());
    on("world", () => this.phone.where === "scan" && this.update());
    on("beat", () => this.thread.restamp());
    this.go("list");
  }

  // Conversations of both kinds under one shape.
  chats() {
    const data = state.customer;
    if (!data) return [];
    const guides = data.chats.map((chat) => ({ ...chat, key: `chat:${chat.userid}` }));
    const services = data.kf.map((one) => ({ ...one, key: `kf:${one.open_kfid}`, isService: true }));
    const notices = data.notices.map((one) => ({ ...one, key: `notice:${one.kind}`, isService: true, isNotice: true }));
    return [...guides, ...services, ...notices];
  }

  here() {
    return this.chats().find((one) => one.key === this.phone.where);
  }

  go(where) {
    const { phone } = this;
    const back = { go: () => this.go("list"), count: 0 };
    if (where === "list") {
      phone.show(where, { head: head("聊天", { right: h("button", { type: "button", class: "head-action", onclick: () => this.go("scan") }, icon(ICONS.scan, 18), "扫一扫") }), body: this.lists, withTabs: true });
    } else if (where === "scan") {
      phone.show(where, { head: head("扫一扫", { back }), body: this.lists });
    } else if (where === "me") {
      phone.show(where, { head: head("我"), body: this.lists, withTabs: true });
    } else {
      this.title = head("", { back });
      // A template message is read and tapped; nobody listens to an answer.
      const foot = where === "notice:official_account" ? undefined : composer("写点什么…", (text) => this.send(text));
      phone.show(where, { head: this.title, body: this.thread.list, foot });
      if (where.startsWith("kf:")) this.enter(where.slice(3));
    }
    this.lists.drawnFrom = undefined;
    this.update();
    emit("look");
  }

  update() {
    const data = state.customer;
    if (!data) {
      this.lists.drawnFrom = undefined;
      fill(this.lists);
      this.tabs();
      return;
    }
    const arrived = this.unread.take(state.customerId, this.chats().map((one) => [one.key, one.messages]));
    const { where } = this.phone;
    if (where === "list") this.drawList();
    else if (where === "scan") this.drawScanner();
    else if (where === "me") this.drawMe();
    else this.drawChat();
    this.announce(arrived);
    this.tabs();
  }

  announce(arrived) {
    for (const [key, message] of arrived) {
      const chat = this.chats().find((one) => one.key === key);
      if (key !== this.phone.where && chat && message.sender !== "customer") {
        this.phone.tell(chat.name, gist(message), () => this.go(key));
      }
    }
  }

  tabs() {
    const { where } = this.phone;
    const waiting = this.chats().reduce((sum, one) => sum + this.waiting(one), 0);
    redraw(this.phone.tabbar, [where, waiting], () => [
      tab("聊天", ICONS.chat, where === "list", waiting, () => this.go("list")),
      tab("扫一扫", ICONS.scan, where === "scan", 0, () => this.go("scan")),
      tab("我", ICONS.me, where === "me", 0, () => this.go("me")),
    ]);
  }

  waiting(chat) {
    return chat.key === this.phone.where ? 0 : this.unread.count(state.customerId, chat.key, chat.messages, "customer");
  }

  drawList() {
    const chats = this.chats().map((one) => ({ ...one, count: this.waiting(one), last: one.messages.at(-1) }));
    chats.sort((a, b) => (b.last?.at || 0) - (a.last?.at || 0));
    const shown = chats.map(({ key, name, stage, count, last, deleted_at }) => [key, name, stage, count, last, deleted_at, last && spoken(last.at, now(), { short: true })]);
    redraw(this.lists, shown, () => {
      const rows = chats.map((chat) => this.row(chat));
      if (chats.some((one) => !one.isService)) return rows;
      return [...rows, h("div", { class: "blank" },
        h("p", {}, "还没有加任何导购。"), h("p", {}, "扫一扫店里的码，欢迎语马上就到。"),
        h("button", { type: "button", class: "phone-button", onclick: () => this.go("scan") }, "扫一扫"))];
    });
  }

  row(chat) {
    const line = chat.last ? gist(chat.last) : chat.stage === "asked" ? "等待对方通过" : chat.isService ? "有事可以问我们" : "可以开始聊天了";
    return h("button", { type: "button", class: "row", data: { chat: chat.key }, onclick: () => this.go(chat.key) },
      h("span", { class: "row-face" }, avatar(chat.name), badge(chat.count)),
      h("span", { class: "row-text" },
        h("span", { class: "row-name" }, chat.name, chat.isService ? !chat.isNotice && h("i", { class: "kind" }, "客服") : h("i", { class: "corp" }, `@${CORP}`)),
        h("span", { class: "row-line" }, line)),
      h("time", {}, chat.last ? spoken(chat.last.at, now(), { short: true }) : ""));
  }

  drawScanner() {
    const groups = codesByStore(state.world);
    redraw(this.lists, groups, () => [
      h("div", { class: "finder", "aria-hidden": "true" }, h("i"), h("span", {}, "把镜头对准店里的码")),
      ...groups.map((group) => h("section", { class: "found" }, h("h3", {}, group.name),
        h("div", { class: "found-codes" }, group.codes.map((code) => h("button", { type: "button", class: "found-code", onclick: (event) => this.scan(code, event.currentTarget) },
          h("img", { src: `${mount}/qr/${encodeURIComponent(code.config_id)}`, alt: "", loading: "lazy" }), code.name))))),
      !groups.length && h("div", { class: "blank" }, h("p", {}, "店里还没有摆码。"), h("p", {}, "在总部后台新建一个渠道活码，它就会出现在这里。")),
    ]);
  }

  async scan(code, button) {
    const made = await scanCode(code, button);
    if (made) this.go(`chat:${made.userid}`);
  }

  drawMe() {
    const { customer, orders } = state.customer;
    redraw(this.lists, [customer, orders], () => [
      h("div", { class: "me" }, avatar(customer.name, "is-large", customer.avatar), h("div", {}, h("strong", {}, customer.name),
        h("p", {}, customer.member_no ? `会员号 ${customer.member_no}` : "还不是会员"),
        customer.mobile && h("p", {}, `手机 ${customer.mobile.slice(0, 3)}****${customer.mobile.slice(-4)}`))),
      h("h3", { class: "rows-title" }, "最近买过"),
      orders.length ? orders.map((one) => h("div", { class: "bill" }, h("span", {}, one.names.join("、")), h("b", {}, money(one.amount_fen)),
        h("small", {}, `${spoken(one.at, now())}${one.refunded_fen ? ` · 已退 ${money(one.refunded_fen)}` : ""}`)))
        : h("p", { class: "rows-note" }, "这台收银机上还没有她的小票。"),
    ]);
  }

  drawChat() {
    const chat = this.here();
    if (!chat) {
      if (this.phone.where.startsWith("chat:")) this.go("list");
      return;
    }
    this.chatName = chat.name;
    this.typing(this.isTyping);
    const note = this.title.querySelector(".head-note") || this.title.querySelector(".head-title").appendChild(h("span", { class: "head-note" }));
    note.textContent = chat.isService ? serviceWords(chat) : chat.stage === "asked" ? "等待对方通过验证" : chat.deleted_at ? "你已删除对方" : `${CORP} · ${chat.store}`;
    this.thread.show(`${state.customerId}/${chat.key}`, chat.messages);
    this.unread.read(state.customerId, chat.key, chat.messages);
  }

  typing(isTyping) {
    this.isTyping = Boolean(isTyping);
    const name = this.title?.querySelector(".head-name");
    const words = this.isTyping ? "对方正在输入…" : this.chatName || "";
    if (name && name.textContent !== words) name.textContent = words;
  }

  draw(message) {
    if (message.sender === "system") return { side: "middle", words: message.content.content };
    const chat = this.here();
    const isMine = message.sender === "customer";
    const { customer } = state.customer;
    return {
      side: isMine ? "right" : "left",
      name: isMine ? customer.name : chat?.name,
      avatar: isMine ? customer.avatar : "",
      tools: { open: (url, title) => this.open(url, title), choose: (id) => this.choose(chat, message, id) },
    };
  }

  // The brand's 客服 link is a chat, not a page.
  open(url, title) {
    if (url.startsWith(KF_PATH)) this.go(`kf:${decodeURIComponent(url.slice(KF_PATH.length).split(/[?#]/)[0])}`);
    else this.phone.open(url, title);
  }

  async send(text) {
    const chat = this.here();
    const who = { external_userid: state.customerId };
    try {
      if (!chat) return false;
      if (chat.isNotice) await act("sms_reply", { ...who, text });
      else if (chat.isService) await act("kf_write", { ...who, open_kfid: chat.open_kfid, text });
      else await act("chat", { ...who, userid: chat.userid, sender: "customer", text });
      await catchUp();
      return true;
    } catch (error) {
      complain(error);
      return false;
    }
  }

  async choose(chat, message, menuId) {
    try {
      await act("kf_choose", { external_userid: state.customerId, open_kfid: chat.open_kfid, msgid: message.msgid, menu_id: menuId });
      await catchUp();
    } catch (error) {
      complain(error);
    }
  }

  async enter(openKfid) {
    const key = `${state.customerId}/${openKfid}`;
    if (!state.customerId || Date.now() - (this.entered.get(key) || 0) < AGAIN) return;
    this.entered.set(key, Date.now());
    try {
      await act("kf_enter", { external_userid: state.customerId, open_kfid: openKfid });
    } catch (error) {
      say(error.message, "is-wrong");
    }
  }
}

function serviceWords(chat) {
  if (chat.isNotice) return chat.kind === "sms" ? "回复 R 拒收" : "来自品牌公众号";
  return ["智能助手为您服务", "智能助手为您服务", "正在为您转接同事，请稍等", "同事正在为您服务", ""][chat.state] || "官方客服";
}
