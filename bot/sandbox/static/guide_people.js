// A guide's customers: who asks to be friends, who is one, and what is known of each.
import { act, pressed, say } from "./api.js";
import { avatar, h } from "./dom.js";
import { catchUp, now, state } from "./state.js";
import { spoken } from "./when.js";

export function drawCustomers(phone, data) {
  const { requests, customers, outgoing } = data;
  return [
    ...toSend(outgoing),
    requests.length > 0 && h("h3", { class: "rows-title" }, "新的客户"),
    ...requests.map((one) => request(one)),
    h("h3", { class: "rows-title" }, customers.length ? `我的客户 ${customers.length >= 200 ? "200+" : customers.length} 位` : "我的客户"),
    ...customers.map((one) => friend(phone, one)),
    !customers.length && h("div", { class: "blank" }, h("p", {}, "还没有客户。"), h("p", {}, "请左边的顾客扫一下您店里的码。")),
  ];
}

// What HQ asks her to send: nothing leaves before she presses.
function toSend({ mass, moments }) {
  const rows = [
    ...mass.map((one) => asked(one.text, one.is_group ? "发到我的客户群" : `群发给 ${one.count} 位客户`, "发送", "confirm_mass", { msgid: one.msgid })),
    ...moments.map((one) => asked(one.text, one.pictures ? `朋友圈 · ${one.pictures} 个附件` : "朋友圈", "发表", "publish_moment", { moment_id: one.moment_id })),
  ];
  return rows.length ? [h("h3", { class: "rows-title" }, "群发助手"), ...rows] : [];
}

function asked(words, note, verb, name, which) {
  const send = (event) => pressed(event.currentTarget, async () => {
    await act(name, { userid: state.userid, ...which });
    await catchUp();
  });
  return h("div", { class: "row" }, h("span", { class: "row-face" }, avatar("群")),
    h("span", { class: "row-text" }, h("span", { class: "row-name" }, words || "图片"), h("span", { class: "row-line" }, note)),
    h("button", { type: "button", class: "phone-button is-small", onclick: send }, verb));
}

function request(one) {
  const accept = (event) => pressed(event.currentTarget, async () => {
    await act("accept", { userid: state.userid, external_userid: one.external_userid });
    await catchUp();
  });
  return h("div", { class: "row" }, h("span", { class: "row-face" }, avatar(one.name, "", one.avatar)),
    h("span", { class: "row-text" }, h("span", { class: "row-name" }, one.name), h("span", { class: "row-line" }, one.stage === "half" ? "已添加您，等您确认" : "请求添加您为好友")),
    h("button", { type: "button", class: "phone-button is-small", onclick: accept }, "通过"));
}

function friend(phone, one) {
  const tags = one.tags.slice(0, 3);
  return h("button", { type: "button", class: "row", data: { person: one.external_userid }, onclick: () => phone.go(`person:${one.external_userid}`) },
    h("span", { class: "row-face" }, avatar(one.remark || one.name, "", one.avatar)),
    h("span", { class: "row-text" }, h("span", { class: "row-name" }, one.remark || one.name),
      h("span", { class: "row-line" }, tags.length ? tags.map((tag) => h("i", { class: "tag" }, tag.name)) : `${spoken(one.since, now(), { short: true })}添加`)));
}

export function drawPerson(phone, one) {
  return [
    h("div", { class: "me" }, avatar(one.remark || one.name, "is-large", one.avatar),
      h("div", {}, h("strong", {}, one.remark || one.name), one.remark && one.remark !== one.name && h("p", {}, `昵称 ${one.name}`), h("p", {}, `${spoken(one.since, now())} 添加`))),
    h("h3", { class: "rows-title" }, "企业标签"),
    h("div", { class: "tags" }, one.tags.length ? one.tags.map((tag) => h("i", { class: "tag" }, tag.name)) : "还没有标签"),
    remark(one),
    h("div", { class: "person-actions" },
      h("button", { type: "button", class: "phone-button", onclick: () => phone.go(`chat:${one.external_userid}`) }, "发消息"),
      h("button", { type: "button", class: "phone-button is-quiet is-grave", onclick: (event) => remove(phone, one, event.currentTarget) }, "删除客户")),
  ];
}

function remark(one) {
  const box = h("input", { type: "text", value: one.remark, maxlength: 20, placeholder: "写个备注名", "aria-label": "备注名" });
  const save = (event) => {
    event.preventDefault();
    pressed(event.submitter, async () => {
      await act("edit_remark", { userid: state.userid, external_userid: one.external_userid, remark: box.value.trim() });
      await catchUp();
      say("备注改好了。");
    });
  };
  return [h("h3", { class: "rows-title" }, "备注"), h("form", { class: "remark", onsubmit: save }, box, h("button", { type: "submit", class: "phone-button is-small is-quiet" }, "保存"))];
}

function remove(phone, one, button) {
  if (!button.classList.contains("is-sure")) {
    button.classList.add("is-sure");
    button.textContent = "再点一次就删除";
    return;
  }
  pressed(button, async () => {
    await act("guide_deletes_customer", { userid: state.userid, external_userid: one.external_userid });
    phone.go("customers");
    await catchUp();
  });
}
