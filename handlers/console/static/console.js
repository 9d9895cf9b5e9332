// What every page of the console does: ask before deeds, show short notes, refuse double taps.
"use strict";

function ask(title, words, deed) {
  const dialog = document.createElement("dialog");
  dialog.className = "ask";
  const heading = document.createElement("h2");
  heading.textContent = title;
  const text = document.createElement("p");
  text.className = "soft";
  text.textContent = words;
  const acts = document.createElement("div");
  acts.className = "ask-acts";
  for (const [label, value, look] of [["取消", "", "button"], [deed, "yes", "button is-main"]]) {
    const button = document.createElement("button");
    button.className = look;
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", () => dialog.close(value));
    acts.append(button);
  }
  dialog.append(heading, text, acts);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
  });
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  if (form.dataset.ask && !form.dataset.sure) {
    event.preventDefault();
    if (await ask(form.dataset.ask, form.dataset.askWords || "", form.dataset.askDo || "确定")) {
      form.dataset.sure = "yes";
      form.requestSubmit();
    }
    return;
  }
  if (form.method === "post") form.dataset.sent = "yes";
});

// A page that comes back from the browser's memory may be asked again.
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// On a phone the menu may be wider than the screen: the room one is in is always in sight.
const here = document.querySelector(".menu [aria-current]");
if (here) {
  const menu = here.closest(".menu");
  menu.scrollLeft = here.offsetLeft - menu.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;
}
