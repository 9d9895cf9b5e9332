// How a step reaches a customer (方式): one way, the next when it fails, and which for which tier.
import { node, segments, select } from "./dom.js";

const NONE = "none";
const THEN = "联系不上再";
// The answers of the other modes, so that a look at them loses nothing.
const memory = new WeakMap();

const chainOf = (value) => (value === NONE ? [] : Array.isArray(value) ? [...value] : [value || "chat"]);
const written = (chain) => (chain.length === 0 ? NONE : chain.length === 1 ? chain[0] : chain);

/** The kind of a step as the builder holds it: {by, cases: {S: [...]}, rest: [...]}. */
export function read(step) {
  const kind = step.kind;
  if (typeof kind !== "object" || kind === null || Array.isArray(kind)) {
    return { by: memory.get(step)?.by ?? null, cases: {}, rest: chainOf(kind) };
  }
  const { by, else: rest, ...cases } = kind;
  return { by, cases: Object.fromEntries(Object.entries(cases).map(([key, one]) => [key, chainOf(one)])), rest: chainOf(rest) };
}

function write(step, way) {
  const told = Object.entries(way.cases);
  memory.set(step, { ...memory.get(step), by: way.by });
  // A table in which every line is as the others says the same as one way for all.
  if (way.by === null || !told.length) step.kind = written(way.rest);
  else step.kind = { by: way.by, ...Object.fromEntries(told.map(([key, one]) => [key, written(one)])), else: written(way.rest) };
}

/** The kinds a step may become, as the server's table tells them. */
export function kindsOf(step, catalog) {
  const way = read(step);
  const keys = new Set([way.rest, ...Object.values(way.cases)].flat());
  return catalog.kinds.filter((one) => keys.has(one.key));
}

function chainInput(chain, first, catalog, label, take) {
  const followed = (key) => catalog.kinds.find((one) => one.key === key)?.mayBeFollowed;
  const picks = [select(first, chain === null ? "" : chain[0] ?? NONE, (key) => {
    if (key === "") take(null);
    else if (key === NONE) take([]);
    else take([key, ...(followed(key) ? (chain || []).slice(1).filter((one) => one !== key) : [])]);
  }, { "aria-label": label })];
  const places = chain && chain.length && followed(chain[0]) ? chain.length : 0;
  for (let place = 1; place <= places; place += 1) {
    const used = chain.slice(0, place);
    const rest = catalog.kinds.filter((one) => one.mayBeFollowed && !used.includes(one.key));
    if (!rest.length) break;
    const next = select([{ key: "", label: "不再联系" }, ...rest], chain[place] ?? "", (key) => {
      take(key ? [...used, key, ...chain.slice(place + 1).filter((one) => one !== key)] : used);
    }, { "aria-label": `${label}，${THEN}` });
    picks.push(node("span", { class: "way-then" }, node("span", { class: "faint" }, THEN), next));
  }
  return node("div", { class: "way-chain" }, picks);
}

function rows(way, ways, kinds, catalog, take) {
  const { cases, label } = ways.find((one) => one.key === way.by);
  const known = [...cases, ...Object.keys(way.cases).filter((one) => !cases.includes(one))];
  const silent = { key: NONE, label: "不联系" };
  const noun = way.by === "tier" ? "客户" : "门店";
  const line = (name, words, input) => node("div", { class: "way-row", "data-key": `way-${name}` }, node("span", { class: "way-case" }, words), input);
  return [
    ...known.map((name) => line(name, `${name} 级${noun}`, chainInput(way.cases[name] ?? null, [{ key: "", label: "和其他一样" }, silent, ...kinds], catalog, `${name} 级${noun}`, (chain) => {
      const next = { ...way.cases, [name]: chain };
      if (chain === null) delete next[name];
      take({ ...way, cases: next });
    }))),
    line("else", `其他${noun}`, chainInput(way.rest, [silent, ...kinds], catalog, `其他${noun}`, (rest) => take({ ...way, rest }))),
    node("p", { class: "faint" }, known.length ? `还没有评${label}的，按「其他${noun}」` : `还没有写过${label}，先在门店资料里填上`),
  ];
}

/** `settle(step)` is told when the kinds have changed, before all is drawn again. */
export function wayInput(step, catalog, settle) {
  const way = read(step);
  const take = (next) => {
    write(step, next);
    settle(step);
  };
  const modes = [{ key: "", label: "所有人一样" }, ...catalog.ways.map((one) => ({ key: one.key, label: `按${one.label}` }))];
  const change = (key) => {
    const kept = { ...memory.get(step), [way.by ?? ""]: way };
    memory.set(step, kept);
    const isForAll = way.rest.some((one) => catalog.kinds.find((kind) => kind.key === one)?.isForAll);
    const rest = key && isForAll ? ["chat"] : !key && !way.rest.length ? ["chat"] : way.rest;
    take({ by: key || null, cases: key ? kept[key]?.cases || {} : {}, rest });
  };
  const kinds = catalog.kinds.filter((one) => way.by === null || !one.isForAll);
  return node("div", { class: "field is-way" }, node("span", {}, "方式"),
    node("div", { class: "way" },
      segments("按什么分", modes, way.by ?? "", change),
      ...(way.by === null
        ? [chainInput(way.rest, kinds, catalog, "怎么联系", (rest) => take({ ...way, rest }))]
        : rows(way, catalog.ways, kinds, catalog, take))));
}
