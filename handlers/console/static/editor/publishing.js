// The last question (发布): whom the draft is for, with the number of people each answer touches.
import { node, send } from "./dom.js";

const $ = (id) => document.getElementById(id);
const REACHES = [["new_only", "仅新入组的客户", "已经在里面的客户继续按原来的版本走完"], ["everyone", "所有在组客户", "已经在里面的客户也改用这一版"]];
// Nobody is in a plan that was never published, so there is nothing to choose.
const FIRST = [["new_only", "第一次发布", "从现在起，到了日子的客户会入组"]];

/** Asks for the draft that was just saved; `state` is the editor's. */
export function publishing(state, urls) {
  return async () => {
    const found = await send(`${urls.sops}${state.sopId}/impact`, {});
    let reach = null;
    $("publish-go").disabled = true;
    $("publish-wrong").hidden = true;
    $("reaches").replaceChildren(...(found.is_first ? FIRST : REACHES).map(([key, label, words]) => {
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
  };
}
