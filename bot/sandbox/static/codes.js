// The codes that stand in the shops (渠道活码), by shop; and holding a phone in front of one.
import { act, pressed, say } from "./api.js";
import { catchUp, emit, holdGuide, state } from "./state.js";

const ELSEWHERE = "活动与线上";

export function codesByStore(world) {
  if (!world) return [];
  const storeOf = new Map(world.guides.map((one) => [one.userid.toLowerCase(), one.store]));
  const groups = new Map();
  for (const code of [...world.codes].reverse()) {
    const users = code.user || [];
    const stores = new Set(users.map((one) => storeOf.get(one.toLowerCase())).filter(Boolean));
    const name = stores.size === 1 ? [...stores][0] : ELSEWHERE;
    if (!groups.has(name)) groups.set(name, { name, codes: [] });
    const full = code.remark || code.state || "渠道活码";
    const short = full.startsWith(name) && full.length > name.length ? full.slice(name.length) : full;
    groups.get(name).codes.push({ config_id: code.config_id, name: short, full, users, skip: code.skip_verify });
  }
  const rank = new Map(world.stores.map((one, index) => [one.name, index]));
  const place = (group) => (group.name === ELSEWHERE ? 1e6 : rank.get(group.name) ?? 1e5);
  return [...groups.values()].sort((a, b) => place(a) - place(b));
}

// The guide on the right gets the customer if the code is hers too; otherwise whoever gets her
// is given the right phone, so that the story goes on before our eyes.
export async function scanCode(code, button) {
  return pressed(button, async () => {
    const holder = state.userid.toLowerCase();
    const isHers = code.users.some((one) => one.toLowerCase() === holder);
    const asked = { external_userid: state.customerId, config_id: code.config_id };
    const made = await act("scan", isHers ? { ...asked, userid: state.userid } : asked);
    await catchUp();
    if (made.userid.toLowerCase() !== holder) {
      await holdGuide(made.userid);
      const name = state.guide?.guide.name || made.userid;
      say(`这个码分给了${name}，右边的手机换到她手里了。`);
    } else if (made.stage === "asked") {
      say("已发出好友申请，等导购在右边点「通过」。");
    }
    emit("scanned");
    return made;
  });
}
