"use strict";
// Everything derived from the parents (children, levels, sums over subtrees, paths), and the search, by class index.
const makeModel = ({ wnids, names, lemmas, parents, train, val }) => {
  const size = wnids.length;
  // The tree, and sums over subtrees: visit the classes from the deepest level up.
  const children = Array.from({ length: size }, () => []);
  const roots = [], levels = new Int32Array(size), below = new Int32Array(size), leaves = new Int32Array(size);
  const images = new Float64Array(size);
  const indexOf = new Map(wnids.map((wnid, i) => [wnid, i]));
  parents.forEach((parent, i) => (parent < 0 ? roots : children[parent]).push(i));
  const order = [...roots];
  for (let at = 0; at < order.length; at++) {
    for (const child of children[order[at]]) { levels[child] = levels[order[at]] + 1; order.push(child); }
  }
  for (const i of order.reverse()) {
    images[i] += train[i] + val[i];
    if (!children[i].length) leaves[i] = 1;
    const parent = parents[i];
    if (parent >= 0) { below[parent] += below[i] + 1; leaves[parent] += leaves[i]; images[parent] += images[i]; }
  }
  const hasImages = roots.some((i) => images[i] > 0);
  const pathOf = (i) => { const path = []; for (; i >= 0; i = parents[i]) path.unshift(i); return path; };
  const byName = (a, b) => (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : a - b);

  // Matches rank in this order: a whole name, lemma or wnid, the start of one, the start of a word within one, the rest.
  const words = wnids.map((wnid, i) => `|${[wnid, names[i], ...lemmas[i]].join("|")}|`.toLowerCase());
  const rank = (text, query) => {
    if (!text.includes(query)) return 9;
    if (text.includes(`|${query}|`)) return 0;
    if (text.includes(`|${query}`)) return 1;
    return text.includes(` ${query}`) ? 2 : 3;
  };
  const find = (query) => {
    const ranked = [];
    words.forEach((text, i) => { const at = rank(text, query); if (at < 9) ranked.push([at, levels[i], i]); });
    ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1] || byName(a[2], b[2]));
    return ranked.map(([, , i]) => i);
  };

  return { children, roots, levels, below, leaves, images, indexOf, hasImages, pathOf, byName, find };
};
