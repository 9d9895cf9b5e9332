// A running conversation: bubbles are added, never redrawn, and arrive at the pace of typing.
import { h, avatar } from "./dom.js";
import { inside } from "./messages.js";
import { spoken } from "./when.js";
import { now } from "./state.js";

const GAP = 300; // Seconds of silence after which the time is said again.
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class Thread {
  // `draw(message)` gives {side, name, avatar, tools}; side is left, right or middle.
  constructor({ draw, typing }) {
    this.list = h("div", { class: "thread", role: "log" });
    this.draw = draw;
    this.typing = typing || (() => {});
    this.start("");
  }

  start(key) {
    this.key = key;
    this.nodes = new Map();
    this.queue = [];
    this.last = 0;
    this.turn = {};
    this.list.textContent = "";
  }

  // Shows the messages of conversation `key`; what is new in one that is open already arrives slowly.
  show(key, messages) {
    const isOpen = key === this.key;
    if (!isOpen) this.start(key);
    for (const message of messages) {
      const id = String(message.msgid || message.id);
      const mark = JSON.stringify(message);
      const known = this.nodes.get(id);
      if (known === undefined) {
        const entry = { id, message, mark, node: null };
        this.nodes.set(id, entry);
        this.queue.push(entry);
      } else if (known.mark !== mark) {
        Object.assign(known, { message, mark });
        if (known.node) this.replace(known);
      }
    }
    if (!isOpen || calm.matches) this.flush();
    else this.play(this.turn);
    if (!isOpen) this.toEnd();
  }

  async play(turn) {
    if (turn.isPlaying) return;
    turn.isPlaying = true;
    while (this.turn === turn && this.queue.length) {
      const next = this.queue[0];
      const isTheirs = this.draw(next.message).side === "left";
      if (isTheirs) {
        this.typing(true);
        await wait(pause(next.message));
        if (this.turn !== turn) break;
      }
      if (this.queue[0] === next) this.append(this.queue.shift(), true);
    }
    turn.isPlaying = false;
    if (this.turn === turn) this.typing(false);
  }

  flush() {
    while (this.queue.length) this.append(this.queue.shift(), false);
    this.typing(false);
  }

  append(entry, isFresh) {
    const wasAtEnd = this.isAtEnd();
    const { message } = entry;
    if (message.at - this.last > GAP) {
      this.list.append(h("time", { class: "stamp", data: { at: message.at } }, spoken(message.at, now())));
    }
    this.last = message.at;
    entry.node = this.build(message, isFresh);
    this.list.append(entry.node);
    if (wasAtEnd || this.draw(message).side === "right") this.toEnd(isFresh);
  }

  replace(entry) {
    const wasAtEnd = this.isAtEnd();
    const fresh = this.build(entry.message, false);
    entry.node.replaceWith(fresh);
    entry.node = fresh;
    if (wasAtEnd) this.toEnd();
  }

  build(message, isFresh) {
    const how = this.draw(message);
    if (how.side === "middle") return h("p", { class: `note ${isFresh ? "is-fresh" : ""}` }, how.words);
    return h("div", { class: `line ${how.side} kind-${message.msgtype} ${isFresh ? "is-fresh" : ""}` },
      avatar(how.name, how.mark || "", how.avatar), inside(message, how.tools));
  }

  // After midnight yesterday's bubbles are yesterday's.
  restamp() {
    for (const stamp of this.list.querySelectorAll(".stamp")) {
      const words = spoken(Number(stamp.dataset.at), now());
      if (stamp.textContent !== words) stamp.textContent = words;
    }
  }

  isAtEnd() {
    return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 80;
  }

  toEnd(smoothly = false) {
    requestAnimationFrame(() => this.list.scrollTo({ top: this.list.scrollHeight, behavior: smoothly && !calm.matches ? "smooth" : "auto" }));
  }
}

function pause(message) {
  const length = JSON.stringify(message.content).length;
  return message.msgtype === "text" ? Math.min(360 + length * 6, 900) : 420;
}
