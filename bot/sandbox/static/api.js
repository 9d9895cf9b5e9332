// Talking to the town: looks, acts, and one line of words when something went wrong.
import { mount } from "./dom.js";

async function read(response) {
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    // An answer without JSON is told by its status alone.
  }
  if (!response.ok) throw new Error(answer.error || "沙箱没有回答，请稍后再试。");
  return answer;
}

export async function look(path, query = {}) {
  const asked = new URLSearchParams(query).toString();
  return read(await fetch(`${mount}/api/${path}${asked ? `?${asked}` : ""}`, { cache: "no-store" }));
}

export async function post(path, body = {}) {
  return read(
    await fetch(`${mount}/api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }),
  );
}

export async function act(name, body = {}) {
  return (await post(`do/${name}`, body)).result;
}

let hiding = 0;

export function say(words, kind = "") {
  const toast = document.getElementById("toast");
  toast.textContent = words;
  toast.className = `toast is-shown ${kind}`;
  clearTimeout(hiding);
  hiding = setTimeout(() => toast.classList.remove("is-shown"), kind === "is-wrong" ? 5000 : 3200);
}

export const complain = (error) => say(error.message || "出了点问题，请再试一次。", "is-wrong");

// Runs work for a button: not twice at once, and what went wrong is said.
export async function pressed(button, work) {
  if (button?.disabled) return undefined;
  if (button) button.disabled = true;
  try {
    return await work();
  } catch (error) {
    complain(error);
    return undefined;
  } finally {
    if (button) button.disabled = false;
  }
}
