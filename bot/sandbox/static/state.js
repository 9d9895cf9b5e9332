// What the page knows of the town, and the beat that keeps it fresh.
import { look } from "./api.js";

const BEAT = 400;
const SLOW_BEAT = 2000;
const LOOKS = ["world", "customer", "guide"];

export const state = { world: null, customer: null, guide: null, customerId: "", userid: "", isAway: false };
const seen = { world: "", customer: "", guide: "" };
const listeners = {};
let version = "";
let lead = 0; // How far the town's clock runs ahead of this browser's.
let running = null;

export const now = () => Date.now() / 1000 + lead;

export function on(event, listener) {
  (listeners[event] ||= []).push(listener);
}

export function emit(event) {
  for (const listener of listeners[event] || []) listener();
}

const address = {
  world: () => "world",
  customer: () => state.customerId && `customer/${encodeURIComponent(state.customerId)}`,
  guide: () => state.userid && `guide/${encodeURIComponent(state.userid)}`,
};

async function lookAt(part) {
  const path = address[part]();
  if (!path) return;
  const answer = await look(path, { since: seen[part] });
  // The phone may have gone to somebody else in the meantime.
  if (answer.unchanged || path !== address[part]()) return;
  seen[part] = answer.version;
  state[part] = answer;
  if (part === "world") lead = answer.now - Date.now() / 1000;
  emit(part);
}

// One look at everything that may have changed; several askers share it.
export function refresh() {
  running ||= (async () => {
    try {
      for (const part of LOOKS) await lookAt(part);
      emit("all");
    } finally {
      running = null;
    }
  })();
  return running;
}

// After an act: a look that began after it.
export async function catchUp() {
  if (running) await running.catch(() => {});
  await refresh();
}

async function beat() {
  try {
    const answer = await look("version");
    lead = answer.now - Date.now() / 1000;
    if (answer.version !== version) {
      await refresh();
      version = answer.version;
    }
    isAway(false);
  } catch {
    isAway(true);
  }
  emit("beat");
  setTimeout(beat, document.hidden ? SLOW_BEAT : BEAT);
}

function isAway(away) {
  if (state.isAway === away) return;
  state.isAway = away;
  emit("away");
}

export async function start() {
  await lookAt("world");
}

export const keepFresh = () => beat();

export async function holdCustomer(externalUserid) {
  if (!externalUserid || externalUserid === state.customerId) return;
  Object.assign(state, { customerId: externalUserid, customer: null });
  seen.customer = "";
  remember("customer", externalUserid);
  emit("customer-changed");
  await catchUp();
}

export async function holdGuide(userid) {
  if (!userid || userid === state.userid) return;
  Object.assign(state, { userid, guide: null });
  seen.guide = "";
  remember("guide", userid);
  // The login pages ask the phone whose it is; the app's pages look at it as well.
  document.cookie = `sandbox_userid=${userid.replace(/[^\w.@-]/gu, (one) => encodeURIComponent(one))}; path=/; SameSite=Lax`;
  emit("guide-changed");
  await catchUp();
}

const place = (key) => `sandbox-phones:${document.body.dataset.mount}:${key}`;

export function remember(key, value) {
  try {
    localStorage.setItem(place(key), value);
  } catch {
    // A browser that keeps nothing simply starts anew next time.
  }
}

export function recall(key) {
  try {
    return localStorage.getItem(place(key)) || "";
  } catch {
    return "";
  }
}

export async function serverNow() {
  return (await look("version")).now;
}
