// The till (买点东西): eight pieces, a store, an amount that may be changed.
import { act, pressed, say } from "./api.js";
import { fill, h, jewel } from "./dom.js";
import { catchUp, emit, on, state } from "./state.js";
import { money } from "./when.js";

const PIECES = [
  { sku: "XH-DR-050", name: "星芒六爪钻戒", category: "钻戒", yuan: 18800, jewel: "diamond" },
  { sku: "XH-DR-100", name: "一克拉求婚钻戒", category: "钻戒", yuan: 68000, jewel: "solitaire" },
  { sku: "XH-PR-012", name: "相守铂金对戒", category: "对戒", yuan: 9600, jewel: "pair" },
  { sku: "XH-NL-031", name: "初雪锁骨链", category: "项链", yuan: 3280, jewel: "necklace" },
  { sku: "XH-ER-008", name: "月影珍珠耳钉", category: "耳饰", yuan: 1980, jewel: "earring" },
  { sku: "XH-BR-017", name: "流光玫瑰金手链", category: "手链", yuan: 4560, jewel: "bracelet" },
  { sku: "XH-AU-030", name: "古法足金手镯", category: "黄金", yuan: 27900, jewel: "bangle" },
  { sku: "XH-AU-003", name: "足金转运珠", category: "黄金", yuan: 1280, jewel: "bead" },
];
const MOST_YUAN = 2_000_000;

export class Shop {
  constructor() {
    this.chosen = PIECES[0];
    this.store = h("select", { class: "select", "aria-label": "门店" });
    this.amount = h("input", { type: "text", inputmode: "numeric", class: "amount", "aria-label": "实收金额（元）", maxlength: 9 });
    this.pay = h("button", { type: "button", class: "plain-button is-main pay", data: { tour: "buy" }, onclick: (event) => this.buy(event.currentTarget) });
    this.tiles = h("div", { class: "pieces", role: "group", "aria-label": "选一件" });
    this.error = h("p", { class: "field-error", role: "alert" });
    this.element = h("section", { class: "block shop" },
      h("div", { class: "block-head" }, h("h2", {}, "买点东西"), this.store),
      this.tiles,
      h("div", { class: "till" }, h("label", { class: "amount-label" }, h("span", {}, "实收 ¥"), this.amount), this.pay),
      this.error);
    this.amount.addEventListener("input", () => this.drawPay());
    on("world", () => this.drawStores());
    on("guide", () => this.drawStores());
    this.choose(PIECES[0]);
  }

  drawStores() {
    if (!state.world) return;
    const { stores } = state.world;
    const home = state.guide?.guide.store || "";
    const mark = JSON.stringify([stores, state.userid, home]);
    if (this.drawnFrom === mark) return;
    this.drawnFrom = mark;
    fill(this.store, stores.map((one) => h("option", { value: one.code, selected: one.name === home }, one.name)));
  }

  choose(piece) {
    this.chosen = piece;
    this.amount.value = piece.yuan.toLocaleString("en-US");
    fill(this.tiles, PIECES.map((one) => h("button", { type: "button", class: `piece ${one === piece ? "is-here" : ""}`, "aria-pressed": one === piece ? "true" : "false", title: one.name, onclick: () => this.choose(one) },
      jewel(one.jewel, 30), h("span", { class: "piece-name" }, one.name), h("span", { class: "piece-price" }, money(one.yuan * 100)))));
    this.drawPay();
  }

  fen() {
    const text = this.amount.value.replace(/[,，\s¥￥]/g, "");
    if (!/^\d{1,7}(\.\d{1,2})?$/.test(text)) return null;
    const fen = Math.round(Number(text) * 100);
    return fen > 0 && fen <= MOST_YUAN * 100 ? fen : null;
  }

  drawPay() {
    const fen = this.fen();
    this.pay.textContent = fen === null ? "收银" : `收银 ${money(fen)}`;
    if (fen !== null) this.error.textContent = "";
  }

  buy(button) {
    const fen = this.fen();
    if (fen === null) {
      this.error.textContent = "金额写成数字，比如 3,280，最多 200 万。";
      this.amount.focus();
      return undefined;
    }
    return pressed(button, async () => {
      const { sku, name, category } = this.chosen;
      const store = state.world.stores.find((one) => one.code === this.store.value);
      const lines = [{ sku, name, category, quantity: 1, amount_fen: fen }];
      const guide = state.guide?.guide.store === store?.name ? state.userid : "";
      await act("buy", { external_userid: state.customerId, lines, store: this.store.value, guide });
      await catchUp();
      emit("bought");
      say(`${state.customer?.customer.name || "顾客"}在${store?.name || "店里"}买了${name}，${money(fen)}。`);
    });
  }
}
