"""What can be measured of a page's looks: words too pale to read, and targets too small to tap."""

from __future__ import annotations

from typing import Any

# WCAG 2.1, 1.4.3: 4.5 to 1, and 3 to 1 for large words; over the nearest ground that is painted.
_PALE = """() => {
  const linear = (c) => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const color = (words) => {
    const [r, g, b, a = 1] = words.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, ground) => [0, 1, 2].map((i) => top[i] * top[3] + ground[i] * (1 - top[3]));
  const groundOf = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = color(getComputedStyle(at).backgroundColor);
      if (layer[3] > 0) layers.unshift(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduce((ground, layer) => over(layer, ground), [255, 255, 255]);
  };
  const ratio = (ink, element) => {
    const ground = groundOf(element);
    const [a, b] = [light(over(ink, ground)), light(ground)];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  };
  const pale = {};
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const element = words.currentNode.parentElement, said = words.currentNode.textContent.trim();
    const box = element.getBoundingClientRect(), look = getComputedStyle(element);
    const isSkipped = element.closest("script, style, option, :disabled, [aria-hidden=true]");
    if (!said || !box.width || !box.height || look.visibility === "hidden" || isSkipped) continue;
    const least = parseFloat(look.fontSize) >= 24 ? 3 : 4.5;
    const found = ratio(color(look.color), element);
    if (found < least) pale[said.slice(0, 20)] = found.toFixed(2);
  }
  for (const field of document.querySelectorAll("[placeholder]")) {
    const found = ratio(color(getComputedStyle(field, "::placeholder").color), field);
    if (found < 4.5) pale[field.placeholder] = found.toFixed(2);
  }
  return pale;
}"""
# A row of which every point leads on is a target as a whole; the skip link is for keyboards.
_SMALL = """(least) => {
  const small = {};
  const targets = "a, button, select, summary, input:not([type=hidden])";
  for (const one of document.querySelectorAll(targets)) {
    const box = one.getBoundingClientRect();
    if (!box.height || !one.offsetParent || one.matches(".row-link, .skip")) continue;
    const said = (one.innerText || one.name).slice(0, 20);
    if (Math.round(box.height) < least) small[said] = box.height;
  }
  return small;
}"""


def pale_words(page: Any) -> dict[str, str]:
    """Words (and placeholders) that stand out too little from their ground, with the ratio."""
    found: dict[str, str] = page.evaluate(_PALE)
    return found


def small_targets(page: Any, least: int = 44) -> dict[str, float]:
    """What is to be tapped and less than `least` pixels high, with its height."""
    found: dict[str, float] = page.evaluate(_SMALL, least)
    return found
