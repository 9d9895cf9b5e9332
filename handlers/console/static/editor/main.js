// The SOP editor: holds the plan, draws its parts, and speaks with the server.
import { audience } from "./audience.js";
import { debounced, node, send, toast } from "./dom.js";
import { steps, when } from "./steps.js";
import { trigger } from "./trigger.js";

const given = JSON.parse(document.getElementById("given").textContent);
const $ = (id) => document.getElementById(id);
const { catalog, urls } = given;
const state = {
  name: given.spec.name || "",
  trigger: given.spec.trigger,
  audience: given.spec.audience ?? null,
  steps: given.spec.steps.map((step) => ({ ...step })),
  sample: given.sample,
  sopId: given.sop_id,
  draftId: given.draft_id,
  isChanged: false,
};

function spec() {
  const plan = { name: state.name, trigger: state.trigger, steps: state.steps.map((step) => ({ ...step })) };
  if (state.audience !== null) plan.audience = state.audience;
  return plan;
}

const payload = () => ({ sop_id: state.sopId, draft_id: state.draftId, spec: spec() });

function sayLine(id, words, error) {
  $(id).textContent = error || words || "";
  $(id).classList.toggle("is-wrong", Boolean(error));
}

const describe = debounced(250, async () => {
  try {
    const told = await send(urls.words, { trigger: state.trigger, audience: state.audience });
    sayLine("said-trigger", told.trigger && `${told.trigger}，`, told.trigger_error);
    sayLine("said-audience", told.audience && `对${told.audience}，`, told.audience_error);
  } catch (error) {
    sayLine("said-trigger", "", error.message);
  }
});

function saySteps() {
  const isFixed = catalog.triggers.find((one) => one.key === state.trigger.kind)?.isFixed;
  $("early").hidden = !isFixed;
  const first = state.steps[0];
  const count = state.steps.length;
  const lead = count ? `${when(first, isFixed)}${first.title ? `「${first.title}」` : "第一次联系"}` : "";
  sayLine("said-steps", count > 1 ? `从${lead}起，共 ${count} 步。` : `${lead}。`);
}

function changed() {
  state.isChanged = true;
  clearWrong();
  $("saved").textContent = "有改动还没保存";
  describe();
  saySteps();
}

const parts = steps($("steps"), state, catalog, changed);
trigger($("trigger"), state, catalog, (isOther) => { changed(); if (isOther) parts.draw(); });
audience($("audience"), state, catalog, changed);
$("name").value = state.name;
$("name").addEventListener("input", () => { state.name = $("name").value; changed(); });
$("add-step").addEventListener("click", () => parts.add());

let isMarked = false;
function clearWrong() {
  $("problem").hidden = true;
  for (const box of document.querySelectorAll("[data-field]")) {
    box.classList.remove("is-wrong");
    box.querySelector(":scope > .wrong").hidden = true;
  }
  if (isMarked) {
    isMarked = false;
    // Only the sentence goes; the input under the hand stays.
    for (const one of document.querySelectorAll("#steps .wrong")) one.remove();
    for (const one of document.querySelectorAll("#steps .is-wrong")) one.classList.remove("is-wrong");
  }
}

function showWrong(error) {
  clearWrong();
  const [part, place, key] = (error.field || "").split(".");
  if (part === "steps" && place !== undefined) {
    isMarked = true;
    parts.mark(Number(place), key || "title", error.message);
    return;
  }
  const box = document.querySelector(`[data-field="${CSS.escape(part)}"]`);
  if (!box) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
    $("problem").scrollIntoView({ block: "center" });
    return;
  }
  box.classList.add("is-wrong");
  const words = box.querySelector(":scope > .wrong");
  words.textContent = error.message;
  words.hidden = false;
  box.scrollIntoView({ block: "center" });
}

async function busy(button, deed) {
  for (const one of [$("save"), $("preview"), $("publish")]) one.disabled = true;
  const label = button.textContent;
  button.textContent = "请稍候…";
  try {
    return await deed();
  } catch (error) {
    showWrong(error);
    return null;
  } finally {
    button.textContent = label;
    for (const one of [$("save"), $("preview"), $("publish")]) one.disabled = false;
  }
}

async function save() {
  parts.mark(null);
  const told = await send(urls.save, payload());
  clearWrong();
  Object.assign(state, { sopId: told.sop_id, draftId: told.draft_id, isChanged: false });
  $("saved").textContent = `草稿 v${told.number} 已保存`;
  history.replaceState(null, "", told.edit_url);
  if (told.warnings.length) {
    $("problem").textContent = told.warnings.join("；");
    $("problem").className = "alert is-amber";
    $("problem").hidden = false;
  } else {
    $("problem").className = "alert is-red";
  }
  return told;
}

$("save").addEventListener("click", () => busy($("save"), async () => {
  if (await save()) toast("草稿已保存，还没有影响任何人");
}));

$("preview").addEventListener("click", () => busy($("preview"), async () => {
  $("drawer-body").replaceChildren(node("p", { class: "waiting" }, "正在用真实数据演算 7 天…"));
  $("drawer").showModal();
  try {
    // The server's own template, escaped there.
    const html = await send(urls.preview, payload(), { text: true });
    const page = new DOMParser().parseFromString(html, "text/html");
    $("drawer-body").replaceChildren(...page.body.childNodes);
  } catch (error) {
    $("drawer").close();
    throw error;
  }
}));

const REACHES = [["new_only", "仅新入组的客户", "已经在里面的客户继续按原来的版本走完"], ["everyone", "所有在组客户", "已经在里面的客户也改用这一版"]];

$("publish").addEventListener("click", () => busy($("publish"), async () => {
  await save();
  const found = await send(`${urls.sops}${state.sopId}/impact`, {});
  let reach = null;
  $("publish-go").disabled = true;
  $("publish-wrong").hidden = true;
  $("reaches").replaceChildren(...REACHES.map(([key, label, words]) => {
    const one = found[key];
    const radio = node("input", { type: "radio", name: "reach", value: key, disabled: Boolean(one.error) });
    radio.addEventListener("change", () => { reach = key; $("publish-go").disabled = false; });
    return node("label", { class: "reach" }, radio, node("b", {}, label),
      node("p", {}, words), node("p", {}, one.error || `${one.words}。`));
  }));
  const first = $("reaches").querySelector("input:not(:disabled)");
  if (first) first.click();
  $("publish-go").onclick = async () => {
    $("publish-go").disabled = true;
    try {
      const done = await send(`${urls.sops}${state.sopId}/publish`, { reach, draft_id: state.draftId });
      state.isChanged = false;
      location.assign(done.to);
    } catch (error) {
      $("publish-wrong").textContent = error.message;
      $("publish-wrong").hidden = false;
      $("publish-go").disabled = false;
    }
  };
  $("publish-dialog").showModal();
}));

function showSample() {
  $("sample-name").textContent = state.sample.label;
  parts.draw();
}

let sampleNumber = 0;
$("next-sample").addEventListener("click", async () => {
  sampleNumber += 1;
  try {
    state.sample = await send(`${urls.sample}?number=${sampleNumber}`);
    showSample();
  } catch (error) {
    toast(error.message);
  }
});

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
for (const dialog of document.querySelectorAll("dialog")) {
  // A tap beside the panel closes it; inside its own box the target is a child.
  dialog.addEventListener("click", (event) => { if (event.target === dialog && dialog.id === "drawer") dialog.close(); });
}
window.addEventListener("beforeunload", (event) => { if (state.isChanged) event.preventDefault(); });

showSample();
describe();
saySteps();

// Only now does a press on them do anything.
for (const one of [$("save"), $("preview"), $("publish")]) one.disabled = false;
