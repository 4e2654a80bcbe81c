"""What is wrong with how a page of the explorer looks: expressions that a browser evaluates to lists of findings."""

_CONTRAST = r"""
(() => {
  const channels = text => (text.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const ground = node => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
      if (a > 0) layers.push([r, g, b, a]);
      if (a === 1) break;
    }
    return layers.reduceRight(
      (below, [r, g, b, a]) => [r, g, b].map((value, at) => value * a + below[at] * (1 - a)), [255, 255, 255]);
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    if (node.closest('script, style, option, .unseen, .tiles, button:disabled, title')) continue;
    const style = getComputedStyle(node);
    const ink = channels(node.closest('svg') ? style.fill : style.color).slice(0, 3);
    const [low, high] = [luminance(ink), luminance(ground(node))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24;
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`${node.textContent.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
})()
"""

_TARGETS = r"""
[...document.querySelectorAll('button, select, input, summary, [role=option], [role=treeitem], .card, .more a')]
  .filter(each => each.checkVisibility() && !each.closest('.tiles'))
  .map(each => [each, (each.type === 'checkbox' ? each.closest('label') : each).getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.height < 39.5 || box.width < 39.5))
  .map(([each, box]) => `${each.id || each.className || each.tagName}: ${box.width} x ${box.height}`)
"""

_OVERFLOW = r"""
[document.documentElement, ...document.querySelectorAll('#detail, #view, .left, header, dialog[open], #found')]
  .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1)
  .map(each => `${each.id || each.className || each.tagName}: ${each.scrollWidth} in ${each.clientWidth}`)
  .concat(document.querySelector('header').offsetHeight > 120 ? ['the header is taller than three lines'] : [])
"""

_UNNAMED = r"""
[...document.querySelectorAll('button, a, select, input, [role=img], [role=tree], [role=listbox], dialog[open]')]
  .filter(each => each.checkVisibility())
  .filter(each => !(each.getAttribute('aria-label') || each.getAttribute('aria-labelledby') || each.labels?.length
    || each.textContent.trim()))
  .map(each => each.id || each.outerHTML.slice(0, 80))
"""

AUDIT = f"({{contrast: {_CONTRAST.strip()}, overflow: {_OVERFLOW.strip()}, unnamed: {_UNNAMED.strip()}}})"
"""Texts with too little contrast (WCAG 2.2, AA), what is wider than its place, and controls without a name."""
SMALL_TARGETS = _TARGETS.strip()
"""Controls that a finger misses: under 40 pixels wide or high."""
