// Letting time pass (让时间过去): hours at once, days one by one with their night and morning.
import { complain, post, say } from "./api.js";
import { fill, h } from "./dom.js";
import { catchUp, emit, now, on, serverNow, state } from "./state.js";
import { clock, date, dayNumber, isoDay, momentOf, weekday } from "./when.js";

const NIGHT = [2, 15];
const MORNING = [8, 50];

export class TimePanel {
  constructor() {
    this.day = h("strong", { class: "now-day" });
    this.hour = h("span", { class: "now-hour" });
    this.progress = h("div", { class: "progress", role: "status", hidden: true });
    this.buttons = h("div", { class: "time-buttons" },
      this.button("1 小时", () => this.hours(1)), this.button("到明早", () => this.days(1), "is-main", "day"),
      this.button("3 天", () => this.days(3)), this.button("7 天", () => this.days(7)), this.button("30 天", () => this.days(30)));
    this.bells = h("div", { class: "bells" },
      this.button("跑今晚的计划", () => this.ring("night", "今天的计划算好了。"), "is-quiet"),
      this.button("发今早的早报", () => this.ring("morning", "早报发出去了。"), "is-quiet"));
    this.element = h("section", { class: "block time" },
      h("div", { class: "now" }, this.day, this.hour), this.buttons, this.bells, this.progress);
    on("beat", () => this.draw());
    on("world", () => { this.bells.hidden = !state.world.has_bells; });
  }

  button(words, work, kind = "", tour = "") {
    return h("button", { type: "button", class: `plain-button ${kind}`, data: tour ? { tour } : {}, onclick: () => this.run(work) }, words);
  }

  draw() {
    const moment = now();
    const words = `${date(moment)} ${weekday(moment)}`;
    if (this.day.textContent !== words) this.day.textContent = words;
    if (this.hour.textContent !== clock(moment)) this.hour.textContent = clock(moment);
  }

  async run(work) {
    if (this.isBusy) return;
    this.isBusy = true;
    this.element.classList.add("is-busy");
    for (const one of this.element.querySelectorAll(".plain-button")) one.disabled = true;
    try {
      await work();
      await catchUp();
    } catch (error) {
      complain(error);
    } finally {
      this.isBusy = false;
      this.progress.hidden = true;
      this.element.classList.remove("is-busy");
      for (const one of this.element.querySelectorAll(".plain-button")) one.disabled = false;
      emit("time-passed");
    }
  }

  async hours(count) {
    await post("clock", { hours: count });
  }

  async ring(bell, words) {
    this.tell(bell === "night" ? "正在算今天的计划…" : "正在发早报…", 0.5);
    await post(bell);
    say(words);
  }

  async days(count) {
    this.isStopped = false;
    let passed = 0;
    for (; passed < count && !this.isStopped; passed += 1) await this.toNextMorning(passed, count);
    if (this.isStopped) say(`停在了 ${date(now())}，过了 ${passed} 天。`);
  }

  async toNextMorning(passed, count) {
    const moment = await serverNow();
    const day = dayNumber(moment) + 1;
    const name = `${date(momentOf(day, 12, 0))} ${weekday(momentOf(day, 12, 0))}`;
    await this.step(`夜深了，正在算 ${name} 的计划`, (passed + 0.2) / count, momentOf(day, ...NIGHT), "night", day, count);
    await this.step(`${name} 早上，正在发早报`, (passed + 0.7) / count, momentOf(day, ...MORNING), "morning", day, count);
    this.tell(`${name} 到了`, (passed + 1) / count, count);
    await catchUp();
  }

  async step(words, done, target, bell, day, count) {
    this.tell(words, done, count);
    const seconds = target - (await serverNow());
    if (seconds > 0) await post("clock", { seconds });
    if (state.world.has_bells) await post(bell, { day: isoDay(day) });
  }

  tell(words, done, count = 1) {
    const bar = h("i", {});
    bar.style.width = `${Math.round(Math.min(done, 1) * 100)}%`;
    this.progress.hidden = false;
    fill(this.progress, h("span", { class: "progress-words" }, words),
      count > 1 && h("button", { type: "button", class: "text-button", onclick: () => { this.isStopped = true; } }, "停在这里"),
      h("span", { class: "progress-bar" }, bar));
  }
}
