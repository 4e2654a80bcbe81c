// Everything derived from the parents, by class index: children, levels, sums over subtrees, paths.
const makeModel = ({ wnids, names, lemmas, glosses, parents }) => {
  const size = wnids.length;
  const children = Array.from({ length: size }, () => []);
  const roots = [],
    levels = new Int32Array(size);
  const indexOf = new Map(wnids.map((wnid, i) => [wnid, i]));
  parents.forEach((parent, i) => (parent < 0 ? roots : children[parent]).push(i));
  // Breadth first: each class stands behind its parent, so that sums run from the end.
  const order = [...roots];
  for (let at = 0; at < order.length; at++) {
    for (const child of children[order[at]]) {
      levels[child] = levels[order[at]] + 1;
      order.push(child);
    }
  }
  const sums = (values) => {
    const total = new Float64Array(size);
    for (let i = 0; i < size; i++) total[i] = Number.isNaN(values[i]) ? 0 : values[i];
    for (let at = size - 1; at >= 0; at--) {
      const parent = parents[order[at]];
      if (parent >= 0) total[parent] += total[order[at]];
    }
    return total;
  };
  const below = sums(new Float64Array(size).fill(1)).map((count) => count - 1);
  const leaves = sums(children.map((few) => (few.length ? 0 : 1)));
  const pathOf = (i) => {
    const path = [];
    for (; i >= 0; i = parents[i]) path.unshift(i);
    return path;
  };
  const isBelow = (i, ancestor) => {
    for (; i >= 0; i = parents[i]) if (i === ancestor) return true;
    return false;
  };
  const byName = (a, b) => (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : a - b);
  const namesakes = new Map();
  names.forEach((name, i) => {
    const same = namesakes.get(name);
    if (same) same.push(i);
    else namesakes.set(name, [i]);
  });

  return {
    size,
    wnids,
    names,
    lemmas,
    glosses,
    parents,
    children,
    roots,
    levels,
    below,
    leaves,
    order,
    indexOf,
    sums,
    pathOf,
    isBelow,
    byName,
    depth: levels.reduce((most, level) => Math.max(most, level), 0),
    lonely: roots.filter((i) => !children[i].length),
    briefly: (i) => brief(names[i]),
    pathText: (i) =>
      pathOf(i)
        .map((at) => names[at])
        .join(" > "),
    glossOf: (i) => glosses?.[i] ?? "",
    sharingName: (i) => namesakes.get(names[i]).filter((at) => at !== i),
    // What tells a class from another of the same name: its gloss, else what it is a kind of.
    hintOf: (i) => glosses?.[i] || (parents[i] >= 0 ? `a kind of ${brief(names[parents[i]])}` : ""),
  };
};
