// Two phones on one desk: who holds them, what happens between them.
import { complain } from "./api.js";
import { CustomerPhone } from "./customer.js";
import { GuidePhone } from "./guide.js";
import { CustomerPicker, GuidePicker } from "./picker.js";
import { holdCustomer, holdGuide, keepFresh, on, recall, start, state } from "./state.js";
import { Tour } from "./tour.js";
import { World } from "./world.js";
import { money } from "./when.js";

const { body } = document;

function goTo(tab) {
  body.dataset.tab = tab;
  for (const one of document.querySelectorAll("#tabs button")) one.classList.toggle("is-here", one.dataset.goto === tab);
}

async function firstCustomer() {
  const [passerBy] = state.world.customers;
  for (const one of [recall("customer"), passerBy?.external_userid]) {
    await holdCustomer(one).catch(() => {});
    if (state.customer) return;
  }
}

async function firstGuide() {
  const { guides } = state.world;
  const known = (userid) => guides.find((one) => one.userid === userid);
  const first = known(recall("guide")) || known(body.dataset.firstGuide) || guides[0];
  await holdGuide(first?.userid);
}

async function open() {
  const customer = new CustomerPhone(document.getElementById("customer-seat"), new CustomerPicker().element);
  const guide = new GuidePhone(document.getElementById("guide-seat"), new GuidePicker().element);
  const meet = (made) => {
    customer.go(`chat:${made.userid}`);
    goTo("customer");
  };
  new World(document.getElementById("world"), { onScanned: meet });
  new Tour(document.getElementById("tour"), { customer, guide });
  on("bought", () => {
    const [order] = state.customer?.orders || [];
    if (order) customer.phone.tell("支付成功", `${body.dataset.corp} ${money(order.amount_fen)}`);
  });
  await start();
  await firstCustomer();
  await firstGuide();
  if (body.dataset.kf) customer.go(`kf:${body.dataset.kf}`);
  body.classList.add("is-ready");
  keepFresh();
}

for (const one of document.querySelectorAll("#tabs button")) one.addEventListener("click", () => goTo(one.dataset.goto));
goTo("customer");
open().catch(complain);
