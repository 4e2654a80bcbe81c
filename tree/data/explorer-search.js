// The search. Matches rank: a whole name or wnid, a whole lemma, the start of one, the start of a word in one, any
// part, the gloss; among equals the larger subtree comes first: "dog" is the animal, not the andiron.
const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

const makeSearch = (model, weight) => {
  const { size, wnids, names, lemmas, below, levels, byName } = model;
  let words = null,
    glosses = null;
  const prepare = () => {
    words = names.map((name, i) => `|${[name, wnids[i], ...lemmas[i]].map(folded).join("|")}|`);
    glosses = names.map((_, i) => ` ${folded(model.glossOf(i))} `);
  };
  const rank = (i, query) => {
    const text = words[i];
    if (!text.includes(query)) {
      if (query.length < 3) return 9;
      return glosses[i].includes(` ${query}`) ? 6 : 9;
    }
    if (text.startsWith(`|${query}|`) || folded(wnids[i]) === query) return 0;
    if (text.includes(`|${query}|`)) return 1;
    if (text.includes(`|${query}`)) return 2;
    return text.includes(` ${query}`) || text.includes(`-${query}`) ? 3 : 4;
  };
  // Words in any order, each somewhere in the names.
  const hasAll = (i, parts) => parts.length > 1 && parts.every((part) => words[i].includes(part));
  const find = (text) => {
    if (!words) prepare();
    const query = folded(text.trim()).replace(/\|/g, " ").replace(/\s+/g, " ");
    if (!query) return [];
    const parts = query.split(" "),
      ranked = [];
    for (let i = 0; i < size; i++) {
      let at = rank(i, query);
      if (at > 4 && hasAll(i, parts)) at = 5;
      if (at < 9) ranked.push({ i, at });
    }
    ranked.sort(
      (a, b) =>
        a.at - b.at ||
        below[b.i] - below[a.i] ||
        weight[b.i] - weight[a.i] ||
        levels[a.i] - levels[b.i] ||
        byName(a.i, b.i),
    );
    return ranked;
  };
  // The word that was matched: the name itself, else the lemma or wnid, else nothing (the gloss).
  const matched = (i, text) => {
    const query = folded(text.trim()),
      own = [names[i], ...lemmas[i], wnids[i]];
    const is = [(word) => word === query, (word) => word.startsWith(query), (word) => word.includes(query)];
    for (const test of is) {
      const word = own.find((each) => test(folded(each)));
      if (word) return word;
    }
    return "";
  };
  // The nearest names of a word that is nowhere, by edits; null if none is near.
  const nearest = (text) => {
    const query = folded(text.trim()),
      most = Math.min(3, Math.floor(query.length / 3));
    let best = null,
      least = most + 1;
    for (const i of most ? model.order : []) {
      for (const word of [names[i], ...lemmas[i]]) {
        const edits = distance(folded(word), query, least - 1);
        if (edits < least) {
          least = edits;
          best = word;
        }
      }
    }
    return best;
  };
  // What the dump had and the dataset has not: in words, of the classes of exactly this name or wnid.
  const dropped = (text) => {
    const lost = data.census?.dropped ?? { wnids: [] };
    const query = folded(text.trim());
    const few = [];
    for (let at = 0; at < lost.wnids.length && query && few.length < 3; at++) {
      const [wnid, name] = [lost.wnids[at], lost.names[at]];
      if (folded(wnid) !== query && folded(name) !== query) continue;
      const called = name && name !== wnid ? `${name} (${wnid})` : wnid;
      few.push(`${called} was dropped: ${lost.reasons[at]}, ${plural(lost.files[at], "file", "files")}.`);
    }
    return few;
  };
  return { find, matched, nearest, dropped };
};

// How many letters to change, add, leave out or swap to get from one word to another, or more than `most`.
const distance = (a, b, most) => {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let [older, before] = [[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let row = 1; row <= a.length; row++) {
    const now = [row];
    for (let at = 1; at <= b.length; at++) {
      const kept = before[at - 1] + (a[row - 1] === b[at - 1] ? 0 : 1);
      const isSwap = row > 1 && at > 1 && a[row - 1] === b[at - 2] && a[row - 2] === b[at - 1];
      now.push(Math.min(before[at] + 1, now[at - 1] + 1, kept, isSwap ? older[at - 2] + 1 : Infinity));
    }
    if (Math.min(...now) > most) return most + 1;
    [older, before] = [before, now];
  }
  return before[b.length];
};

// The part of a word that was typed is marked.
const marked = (word, text) => {
  const query = text.trim(),
    at = query ? folded(word).indexOf(folded(query)) : -1;
  if (at < 0 || folded(word).length !== word.length) return [word];
  return [word.slice(0, at), element("mark", {}, word.slice(at, at + query.length)), word.slice(at + query.length)];
};
