// One message of any kind as the inside of a bubble. `open(url, title)` shows a page.
import { h, mount } from "./dom.js";
import { templateCard } from "./card.js";

const LINKS = /<a\s[^>]*?href=["'](https?:\/\/[^"']+)["'][^>]*>([^<]*)<\/a>|(https?:\/\/[^\s<>"'，。；）]+)/g;

export const mediaAddress = (mediaId) => `${mount}/media/${encodeURIComponent(mediaId)}`;

// Text with its links alive; everything between them stays text.
export function words(text, open) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(LINKS)) {
    parts.push(text.slice(end, found.index));
    const url = found[1] || found[3];
    const label = found[1] ? found[2] : url;
    parts.push(h("a", { href: url, class: "text-link", onclick: (event) => { event.preventDefault(); open(url, found[1] ? label : ""); } }, label));
    end = found.index + found[0].length;
  }
  return [...parts, text.slice(end)];
}

function picture(address, name) {
  const image = h("img", { src: address, alt: name, class: "picture", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "missing" }, `${name}打不开了`)));
  return image;
}

function thumb(address, title) {
  const tile = h("span", { class: "thumb", "aria-hidden": "true" }, Array.from(title || "图")[0]);
  if (/^https?:\/\//.test(address || "") || (address || "").startsWith(`${mount}/media/`)) {
    const image = h("img", { src: address, alt: "" });
    image.addEventListener("error", () => image.remove());
    tile.append(image);
  }
  return tile;
}

function linkCard({ title, desc, url, picture: address }, open) {
  return h("button", { type: "button", class: "plate link-card", onclick: () => open(url, title) },
    h("span", { class: "link-title" }, title),
    h("span", { class: "link-body" }, h("span", { class: "link-desc" }, desc || hostOf(url)), thumb(address, title)));
}

export function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return "";
  }
}

function miniProgram(part) {
  return h("span", { class: "plate mini" },
    h("span", { class: "mini-title" }, part.title),
    picture(mediaAddress(part.pic_media_id || part.thumb_media_id || ""), "封面"),
    h("span", { class: "plate-foot" }, "小程序"));
}

function menu(part, open, choose) {
  const line = (entry) => {
    const detail = entry[entry.type] || {};
    if (entry.type === "click") {
      return h("button", { type: "button", class: "menu-entry", onclick: () => choose?.(detail.id) }, detail.content);
    }
    if (entry.type === "view") {
      return h("button", { type: "button", class: "menu-entry", onclick: () => open(detail.url, detail.content) }, detail.content);
    }
    return h("span", { class: "menu-text" }, detail.content);
  };
  return h("span", { class: "bubble menu" },
    part.head_content && h("span", { class: "menu-text" }, part.head_content),
    (part.list || []).map(line),
    part.tail_content && h("span", { class: "menu-text" }, part.tail_content));
}

const bubble = (...inside) => h("span", { class: "bubble" }, ...inside);

const KINDS = {
  text: (part, { open }) => bubble(words(part.content || "", open)),
  markdown: (part, { open }) => bubble(words(part.content || "", open)),
  image: (part) => h("span", { class: "plate is-bare" }, picture(part.pic_url || mediaAddress(part.media_id), "图片")),
  video: (part) => h("video", { class: "picture", controls: true, preload: "metadata", src: mediaAddress(part.media_id) }),
  voice: () => bubble("[语音]"),
  file: (part) => h("span", { class: "plate file" }, h("span", { class: "link-title" }, part.filename || "文件"), h("span", { class: "plate-foot" }, "文件")),
  link: (part, { open }) => linkCard({ ...part, picture: part.picurl || (part.thumb_media_id && mediaAddress(part.thumb_media_id)) }, open),
  miniprogram: miniProgram,
  msgmenu: (part, { open, choose }) => menu(part, open, choose),
  textcard: (part, { open }) => h("button", { type: "button", class: "plate textcard", onclick: () => open(part.url, part.title) },
    h("span", { class: "card-title" }, part.title),
    h("span", { class: "card-desc" }, (part.description || "").replace(/<[^>]*>/g, "")),
    h("span", { class: "card-more" }, part.btntxt || "详情")),
  news: (part, { open }) => h("span", { class: "articles" }, (part.articles || []).map((one) =>
    linkCard({ title: one.title, desc: one.description, url: one.url, picture: one.picurl }, open))),
  template_card: (part, tools) => templateCard(part, tools),
};

export function inside(message, tools) {
  const kind = KINDS[message.msgtype];
  return kind ? kind(message.content, tools, message) : bubble("这条消息在手机上才能看");
}

// One line about a message, for lists of chats and banners.
export function gist({ msgtype, content }) {
  if (msgtype === "text" || msgtype === "markdown") return (content.content || "").replace(LINKS, (whole, url, label) => (url ? label : whole)).replace(/\s+/g, " ");
  if (msgtype === "template_card") return content.main_title?.title || content.sub_title_text || "[卡片]";
  if (msgtype === "msgmenu") return content.head_content || "[菜单]";
  if (msgtype === "textcard") return content.title;
  const names = { image: "图片", video: "视频", voice: "语音", file: "文件", link: "链接", miniprogram: "小程序", news: "图文" };
  const title = content.title ? ` ${content.title}` : "";
  return `[${names[msgtype] || "消息"}]${title}`;
}
