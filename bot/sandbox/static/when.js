// Moments and money as people say them. The town lives in Shanghai, wherever the browser is.

const OFFSET = 8 * 3600;
const DAY = 86400;
const WEEKDAYS = "日一二三四五六";

function parts(seconds) {
  const date = new Date((seconds + OFFSET) * 1000);
  return {
    year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(),
    weekday: WEEKDAYS[date.getUTCDay()], hour: date.getUTCHours(), minute: date.getUTCMinutes(),
  };
}

const two = (number) => String(number).padStart(2, "0");

export function clock(seconds) {
  const { hour, minute } = parts(seconds);
  return `${two(hour)}:${two(minute)}`;
}

export function date(seconds) {
  const { month, day } = parts(seconds);
  return `${month}月${day}日`;
}

export const weekday = (seconds) => `周${parts(seconds).weekday}`;

export const dayNumber = (seconds) => Math.floor((seconds + OFFSET) / DAY);

// The moment of a wall-clock time on a day counted by dayNumber.
export const momentOf = (day, hour, minute) => day * DAY - OFFSET + hour * 3600 + minute * 60;

export function isoDay(day) {
  const { year, month, day: date_ } = parts(momentOf(day, 12, 0));
  return `${year}-${two(month)}-${two(date_)}`;
}

// 10:30, 昨天 10:30, 周三 10:30, 11月3日 10:30: as chats write it above their bubbles.
export function spoken(seconds, now, { short = false } = {}) {
  const ago = dayNumber(now) - dayNumber(seconds);
  const time = clock(seconds);
  if (ago === 0) return time;
  if (ago === 1) return short ? "昨天" : `昨天 ${time}`;
  if (ago > 1 && ago < 7) return short ? weekday(seconds) : `${weekday(seconds)} ${time}`;
  const then = parts(seconds);
  const year = then.year === parts(now).year ? "" : `${then.year}年`;
  return short ? `${year}${then.month}月${then.day}日` : `${year}${date(seconds)} ${time}`;
}

export function money(fen) {
  const yuan = Math.floor(fen / 100).toLocaleString("en-US");
  return fen % 100 ? `¥${yuan}.${two(fen % 100)}` : `¥${yuan}`;
}
