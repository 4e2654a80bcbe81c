// What the page holds in little room (tree/explorer_packing.py), as the rest of the script knows it.
const SHARE_STEPS = 10000;
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";

// Base 85: five digits are four bytes; the last group may be shorter.
const bytesOf = (text) => {
  const short = (5 - (text.length % 5)) % 5,
    whole = text + "~".repeat(short);
  const worth = new Uint8Array(128);
  for (let at = 0; at < DIGITS.length; at++) worth[DIGITS.charCodeAt(at)] = at;
  const view = new DataView(new ArrayBuffer((whole.length / 5) * 4));
  for (let at = 0, to = 0; at < whole.length; at += 5, to += 4) {
    let sum = 0;
    for (let each = at; each < at + 5; each++) sum = sum * 85 + worth[whole.charCodeAt(each)];
    view.setUint32(to, sum);
  }
  return new Uint8Array(view.buffer, 0, view.byteLength - short);
};
const inflated = (text) => {
  const stream = new Blob([bytesOf(text.trim())]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
};

const summed = (steps) => {
  let sum = 0;
  return steps.map((step) => (sum += step));
};
const texts = (held) => (typeof held === "string" ? held.split("\n") : held);
const labels = (held) =>
  typeof held[0] === "number" ? summed(held).map((id) => `n${`${id}`.padStart(8, "0")}`) : texts(held);

const unpackedPairs = ({ truths, guesses, images }) => {
  const pairs = summed(truths).map((truth, at) => [truth, truth + guesses[at], images[at]]);
  return pairs.sort((a, b) => b[2] - a[2] || a[0] - b[0] || a[1] - b[1]);
};
// The dropped classes with the most files come first.
const unpackedCensus = ({ min, kept, dropped, reasons, rejects }, images) => {
  const wnids = labels(dropped.wnids),
    names = texts(dropped.names);
  const order = wnids.map((_, at) => at).sort((a, b) => dropped.files[b] - dropped.files[a] || a - b);
  return {
    min,
    kept: kept.map((more, i) => images[i] + more),
    dropped: {
      wnids: order.map((at) => wnids[at]),
      names: order.map((at) => names[at]),
      files: order.map((at) => dropped.files[at]),
      reasons: order.map((at) => reasons[dropped.reasons[at]]),
    },
    rejects: rejects.map(([stage, reason, count, steps, counts]) => [
      stage,
      reason,
      count,
      summed(steps).map((i, at) => [i, counts[at]]),
    ]),
  };
};
const unpackedMeasure = (measure, columns) => ({
  ...measure,
  values:
    measure.kind === "share"
      ? measure.values.map((steps) => (steps === null ? null : steps / SHARE_STEPS))
      : measure.values,
  weights: measure.weights === undefined ? undefined : columns[measure.weights],
});

const unpacked = async (text) => {
  const held = await inflated(text);
  const images = held.train.map((count, i) => count + held.val[i]);
  return {
    ...held,
    wnids: labels(held.wnids),
    names: texts(held.names),
    lemmas: texts(held.lemmas).map((words) => (words ? words.split("\t") : [])),
    glosses: held.glosses && texts(held.glosses),
    measures: held.measures.map((measure) => unpackedMeasure(measure, held.columns)),
    census: held.census && unpackedCensus(held.census, images),
    overlay: held.overlay && { ...held.overlay, pairs: unpackedPairs(held.overlay.pairs) },
  };
};
