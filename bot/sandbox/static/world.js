// The panel between the phones: time, codes to scan, the till, and what else may happen.
import { h, mount, redraw } from "./dom.js";
import { codesByStore, scanCode } from "./codes.js";
import { Faults } from "./faults.js";
import { Relations } from "./relations.js";
import { Shop } from "./shop.js";
import { now, on, state } from "./state.js";
import { TimePanel } from "./time.js";
import { dayNumber, spoken } from "./when.js";

export class World {
  constructor(element, { onScanned }) {
    this.onScanned = onScanned;
    this.store = h("select", { class: "select", "aria-label": "哪家店的码", onchange: () => this.drawCodes() });
    this.codes = h("div", { class: "codes" });
    this.news = h("section", { class: "news", "aria-label": "刚刚发生" });
    const faults = new Faults();
    element.append(
      new TimePanel().element,
      h("section", { class: "block scan" }, h("div", { class: "block-head" }, h("h2", {}, "扫码"), this.store), this.codes),
      new Shop().element,
      new Relations().element,
      this.news,
      h("footer", { class: "world-foot" }, faults.face, h("span", { class: "away" }, ""), h("a", { href: "/console/" }, "去总部后台看看")),
      faults.drawer);
    on("world", () => this.drawStores());
    on("guide", () => this.drawStores());
    on("world", () => this.drawNews());
    on("beat", () => this.drawNews());
    on("away", () => { element.querySelector(".away").textContent = state.isAway ? "正在重新连接沙箱…" : ""; });
  }

  drawNews() {
    const { news } = state.world;
    redraw(this.news, [news, dayNumber(now())], () => [h("h2", {}, "刚刚发生"),
      news.length ? news.map((one) => h("p", {}, h("time", {}, spoken(one.at, now())), h("span", {}, told(one)))) : h("p", {}, "还没有。点上面任何一个按钮，事情就会发生。")]);
  }

  drawStores() {
    if (!state.world) return;
    this.groups = codesByStore(state.world);
    const home = state.guide?.guide.store || "";
    redraw(this.store, [this.groups.map((one) => one.name), home], () => this.groups.map((one) => h("option", { selected: one.name === home }, one.name)));
    this.store.hidden = !this.groups.length;
    this.drawCodes();
  }

  drawCodes() {
    const group = this.groups.find((one) => one.name === this.store.value) || this.groups[0];
    redraw(this.codes, group || null, () => {
      if (!group) return [h("p", { class: "hint" }, "还没有渠道活码。在总部后台新建一个，它就会摆到这里。")];
      return group.codes.map((code) => h("button", { type: "button", class: "code", data: { tour: "scan" }, onclick: (event) => this.scan(code, event.currentTarget) },
        h("img", { src: `${mount}/qr/${encodeURIComponent(code.config_id)}`, alt: "", loading: "lazy", width: 52, height: 52 }),
        h("span", { class: "code-text" }, h("strong", {}, code.name), h("small", {}, code.skip ? "扫了就是好友" : "要等导购通过"))));
    });
  }

  async scan(code, button) {
    const made = await scanCode(code, button);
    if (made) this.onScanned(made);
  }
}

function told({ kind, guide, customer, tag, is_removal: isRemoval }) {
  if (kind === "welcome_sent") return `${customer}收到了欢迎语，来自${guide}`;
  if (kind === "app_message") return `${guide}收到一条应用消息`;
  if (kind === "card_updated") return `${guide}的卡片更新了`;
  if (kind === "mass_delivered") return `${customer}收到了${guide}的群发`;
  if (kind === "group_message_delivered") return `${guide}把消息发到了客户群`;
  if (kind === "moment_published") return `${guide}发表了一条朋友圈`;
  if (kind === "tag_marked") return `${customer}${isRemoval ? "去掉了" : "打上了"}标签「${tag}」`;
  return `客服回复了${customer}`;
}
