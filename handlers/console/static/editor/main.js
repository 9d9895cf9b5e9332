// The SOP editor: holds the plan, draws its parts, and speaks with the server.
import { audience } from "./audience.js";
import { debounced, node, send, toast } from "./dom.js";
import { publishing } from "./publishing.js";
import { steps } from "./steps.js";
import { when } from "./times.js";
import { trigger } from "./trigger.js";
import { clearWrong, showWrong } from "./wrong.js";

const given = JSON.parse(document.getElementById("given").textContent);
const $ = (id) => document.getElementById(id);
const { catalog, urls } = given;
const state = {
  name: given.spec.name || "",
  trigger: given.spec.trigger,
  audience: given.spec.audience ?? null,
  isAudienceChanged: false,
  steps: given.spec.steps.map((step) => ({ ...step })),
  sample: given.sample,
  sopId: given.sop_id,
  draftId: given.draft_id,
  isChanged: false,
};
// The steps as they were last sent: an error names one by its place there.
let sent = state.steps;

/** A condition nobody touched goes back as it was written, not as the builder shows it. */
const audienceOf = () => (state.isAudienceChanged ? state.audience : given.audience ?? null);

function spec() {
  sent = parts.sorted();
  const plan = { name: state.name, trigger: state.trigger, steps: sent };
  return audienceOf() === null ? plan : { ...plan, audience: audienceOf() };
}

const payload = () => ({ sop_id: state.sopId, draft_id: state.draftId, spec: spec() });

function sayLine(id, words, gap) {
  $(id).textContent = gap || words || "";
  $(id).classList.toggle("is-gap", Boolean(gap));
}

const describe = debounced(250, async () => {
  const asked = [...state.steps];
  try {
    const told = await send(urls.words, { trigger: state.trigger, audience: audienceOf(), steps: asked });
    sayLine("said-trigger", told.trigger && `${told.trigger}，`, told.trigger_error);
    sayLine("said-audience", told.audience && `对${told.audience}，`, told.audience_error);
    parts.tell(asked, told.steps);
  } catch (error) {
    sayLine("said-trigger", "", error.message);
  }
});

function saySteps() {
  const isFixed = catalog.triggers.find((one) => one.key === state.trigger.kind)?.isFixed;
  $("early").hidden = !isFixed;
  const [first] = parts.sorted();
  const count = state.steps.length;
  const lead = `${when(first, isFixed)}${first.title ? `「${first.title}」` : "第一次联系"}`;
  sayLine("said-steps", count > 1 ? `从${lead}起，共 ${count} 步。` : `${lead}。`);
}

function changed() {
  state.isChanged = true;
  clearWrong();
  $("problem").hidden = true;
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

/** What is wrong, beside its input; what belongs to none stands above all. */
function say(error) {
  const [part, place, key] = (error.field || "").split(".");
  const step = part === "steps" && place !== undefined ? sent[Number(place)] : null;
  const path = step ? parts.pathOf(step, key) : error.field;
  // The step is named by the place where its words stand.
  const words = step ? error.message.replace(/^第 \d+ 步(的)?/, "这一步$1") : error.message;
  if (showWrong(path, words)) return;
  $("problem").className = "alert is-red";
  $("problem").textContent = error.message;
  $("problem").hidden = false;
  $("problem").scrollIntoView({ block: "center" });
}

const deeds = [$("save"), $("preview"), $("publish")];
async function busy(deed) {
  const hand = document.activeElement;
  for (const one of deeds) one.disabled = true;
  $("editor").setAttribute("aria-busy", "true");
  let wrong = null;
  try {
    return await deed();
  } catch (error) {
    wrong = error;
    return null;
  } finally {
    for (const one of deeds) one.disabled = false;
    $("editor").removeAttribute("aria-busy");
    if (deeds.includes(hand) && !document.querySelector("dialog[open]")) hand.focus({ preventScroll: true });
    if (wrong) say(wrong);
  }
}

async function save() {
  const told = await send(urls.save, payload());
  clearWrong();
  Object.assign(state, { sopId: told.sop_id, draftId: told.draft_id, isChanged: false });
  $("saved").textContent = `草稿 v${told.number} 已保存`;
  history.replaceState(null, "", told.edit_url);
  $("problem").textContent = told.warnings.join("；");
  $("problem").className = "alert is-amber";
  $("problem").hidden = told.warnings.length === 0;
  return told;
}

$("save").addEventListener("click", () => busy(async () => {
  if (await save()) toast("草稿已保存，还没有影响任何人");
}));

$("preview").addEventListener("click", () => busy(async () => {
  $("drawer-body").replaceChildren(node("p", { class: "waiting" }, "正在用真实数据演算 7 天，在用的 SOP 多时要等一会儿…"));
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

const ask = publishing(state, urls);
$("publish").addEventListener("click", () => busy(async () => {
  await save();
  await ask();
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
parts.tell([...state.steps], given.told);
describe();
saySteps();

// Only now does a press on them do anything.
for (const one of deeds) one.disabled = false;
