/* What the guides' pages do beyond links and forms: copy words, turn wordings, sheets, toasts. */
(function () {
  "use strict";

  const csrf = document.querySelector('meta[name="csrf"]').content;
  const sheet = document.getElementById("sheet");
  const toastBox = document.getElementById("toast");
  let toastTimer = 0;

  function toast(words) {
    toastBox.textContent = words;
    toastBox.hidden = false;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(function () { toastBox.hidden = true; }, 2400);
  }

  /* In a sheet the sentence stands under the field it is about. */
  function refuse(words) {
    const place = sheet.open && sheet.querySelector("[data-error]");
    if (place) place.textContent = words;
    else toast(words);
  }

  function tell(path) {
    return fetch(path, { method: "POST", keepalive: true,
      headers: { "X-CSRF-Token": csrf, "HX-Request": "true" } }).catch(function () {});
  }

  /* Wordings */

  function shownWords(box) {
    return box.querySelector(".words-text:not([hidden])");
  }

  function nextWords(button) {
    const box = button.closest(".task-body, .point");
    const all = Array.from(box.querySelectorAll(".words-text"));
    const now = all.indexOf(shownWords(box));
    const next = (now + 1) % all.length;
    all[now].hidden = true;
    all[next].hidden = false;
    button.querySelector("[data-place]").textContent = String(next + 1);
  }

  /* A date field speaks the browser's language; this one speaks ours. */
  function dressDate(label) {
    const input = label.querySelector("input");
    const words = label.querySelector("[data-date]");
    label.classList.add("is-dressed");
    input.addEventListener("click", function () {
      try { input.showPicker(); } catch (unknown) { /* An older kernel opens it by itself. */ }
    });
    input.addEventListener("change", function () {
      const day = new Date(input.value + "T00:00:00");
      words.textContent = input.value
        ? `${day.getMonth() + 1}月${day.getDate()}日 周${"日一二三四五六"[day.getDay()]}` : "选日期";
      label.classList.toggle("is-filled", Boolean(input.value));
    });
  }

  function ready(root) {
    root.querySelectorAll("[data-next-words]").forEach(function (one) { one.hidden = false; });
    root.querySelectorAll("[data-date-field]:not(.is-dressed)").forEach(dressDate);
  }

  /* Copying is not sending: the toast says what is still to do. */

  async function copy(button) {
    const box = button.closest(".task-body, .point");
    const text = shownWords(box);
    const copied = await copyText(text.textContent);
    if (!copied) {
      getSelection().selectAllChildren(text);
      toast("没能自动复制，请长按选中的文字复制");
      return;
    }
    if (!button.dataset.opened) {
      toast("已复制，去聊天里粘贴发送");
      return;
    }
    toast("已复制。去聊天里粘贴发送，发出后点「完成」");
    tell(button.dataset.opened);
    button.textContent = "再次复制";
    button.closest(".actions").classList.add("is-taken");
  }

  async function copyText(words) {
    try {
      await navigator.clipboard.writeText(words);
      return true;
    } catch (refused) {
      /* Old kernels and frames without the permission. */
    }
    const field = document.createElement("textarea");
    field.value = words;
    field.readOnly = true;
    field.className = "copy-field";
    document.body.append(field);
    field.select();
    field.setSelectionRange(0, words.length);
    let done = false;
    try { done = document.execCommand("copy"); } catch (refused) { done = false; }
    field.remove();
    return done;
  }

  /* Sheets */

  function openSheet() {
    if (!sheet.open) sheet.showModal();
  }

  function closeSheet() {
    if (sheet.open) sheet.close();
  }

  document.addEventListener("click", function (event) {
    if (event.target === sheet) { closeSheet(); return; }
    const close = event.target.closest("[data-close]");
    if (close && sheet.contains(close)) { event.preventDefault(); closeSheet(); return; }
    const turn = event.target.closest("[data-next-words]");
    if (turn) { nextWords(turn); return; }
    const taken = event.target.closest("[data-copy]");
    if (taken) copy(taken);
  });

  /* Without a reason or a day the question stays open. */
  document.addEventListener("submit", function (event) {
    const form = event.target.closest("[data-sheet-form]");
    if (!form || (event.submitter && event.submitter.value)) return;
    const field = form.querySelector("input:not([type=hidden])");
    if (!field.value.trim()) {
      event.preventDefault();
      event.stopImmediatePropagation();
      refuse(field.type === "date" ? "请选一个日期" : "请选一个原因，或者写一句");
      field.focus();
    }
  }, true);

  /* Answers of the server */

  function refusal(ctx) {
    try { return JSON.parse(ctx.text).error; } catch (noJson) { return ""; }
  }

  document.addEventListener("htmx:after:request", function (event) {
    const ctx = event.detail.ctx;
    if (!ctx || !ctx.response || ctx.response.status < 400) return;
    if (ctx.response.status === 401) { location.reload(); return; }
    refuse(refusal(ctx) || "没有成功，请再试一次");
  });

  document.addEventListener("htmx:error", function (event) {
    const failed = event.detail && event.detail.ctx;
    if (failed && !failed.response) refuse("网络不太好，请再试一次");
  });

  document.addEventListener("htmx:after:swap", function (event) {
    const ctx = event.detail.ctx;
    const target = ctx && ctx.target;
    ready(document);
    if (target && target.id === "sheet-body") openSheet();
    else if (ctx && ctx.sourceElement && sheet.contains(ctx.sourceElement)) closeSheet();
  });

  ready(document);
  if (document.body.dataset.shown) tell(document.body.dataset.shown);
})();
