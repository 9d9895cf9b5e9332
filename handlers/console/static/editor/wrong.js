// What is wrong (错误提示) stands beside its input, in the sentence of the server.
import { node } from "./dom.js";

/** The input container whose path is `path`, or the nearest one around it. */
function containerOf(path) {
  for (let here = path; here; here = here.includes(".") ? here.slice(0, here.lastIndexOf(".")) : "") {
    const found = document.querySelector(`[data-at="${CSS.escape(here)}"]`);
    if (found) return found;
  }
  return null;
}

export function clearWrong() {
  for (const one of document.querySelectorAll("[data-at].is-wrong")) one.classList.remove("is-wrong");
  // Only the words go, not their place: what is under the hand stays where it is.
  for (const one of document.querySelectorAll("[data-at] > .wrong")) {
    one.classList.add("is-past");
    one.removeAttribute("role");
  }
}

/** Put the words beside the input and the hand into it; false: there is no such input. */
export function showWrong(path, words) {
  for (const one of document.querySelectorAll("[data-at].is-wrong")) one.classList.remove("is-wrong");
  for (const one of document.querySelectorAll("[data-at] > .wrong")) one.remove();
  const box = path && containerOf(path);
  if (!box) return false;
  box.classList.add("is-wrong");
  const said = node("p", { class: "wrong", role: "alert" }, words);
  const title = box.querySelector(":scope > .block-title");
  if (title && box.dataset.at === "steps") title.after(said);
  else box.append(said);
  const input = box.querySelector("input, select, button");
  input?.focus({ preventScroll: true });
  box.scrollIntoView({ block: "center" });
  return true;
}
