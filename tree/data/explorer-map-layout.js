// Where the tiles of a treemap lie (squarified: Bruls, Huizing and van Wijk, 2000), and what colors they have.
const squarify = (areas, { x, y, w, h }) => {
  const placed = [];
  const whole = areas.reduce((sum, area) => sum + area, 0);
  if (!(whole > 0)) return areas.map(() => ({ x, y, w: 0, h: 0 }));
  const scale = (w * h) / whole;
  let from = 0;
  while (from < areas.length) {
    const side = Math.min(w, h);
    let to = from,
      sum = 0,
      worst = Infinity;
    while (to < areas.length) {
      const next = sum + areas[to] * scale,
        thick = next / side;
      const ratio = Math.max((areas[from] * scale) / thick / thick, (thick * thick) / (areas[to] * scale || 1e-9));
      if (ratio > worst) break;
      [sum, worst] = [next, ratio];
      to += 1;
    }
    const thick = side > 0 ? sum / side : 0;
    let along = 0;
    for (let at = from; at < to; at++) {
      const long = thick > 0 ? (areas[at] * scale) / thick : 0;
      placed.push(w >= h ? { x, y: y + along, w: thick, h: long } : { x: x + along, y, w: long, h: thick });
      along += long;
    }
    if (w >= h) {
      x += thick;
      w -= thick;
    } else {
      y += thick;
      h -= thick;
    }
    from = to;
  }
  return placed;
};

const rgbOf = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
const blend = (stops, share) => {
  const at = Math.max(0, Math.min(1, share)) * (stops.length - 1),
    low = Math.min(stops.length - 2, Math.floor(at));
  return stops[low].map((value, channel) => value + (stops[low + 1][channel] - value) * (at - low));
};
const css = (rgb) => `rgb(${rgb.map(Math.round).join(" ")})`;
// Black or white, whichever reads better on a color (WCAG's relative luminance).
const inkOn = (rgb) => {
  const [r, g, b] = rgb.map((value) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
};

// A text as far as it fits, in a width as `measure` measures it.
const fitting = (text, width, measure) => {
  if (measure(text) <= width) return text;
  let long = Math.min(text.length, Math.ceil(width / 4));
  while (long > 1 && measure(`${text.slice(0, long)}…`) > width) long -= 1;
  return `${text.slice(0, long)}…`;
};

// Colors of a measure from its 2nd to its 98th percentile; counts by their logarithm, levels from the one shown.
const makeScale = (measure, level) => {
  const tone = { high: "--worst-to-best", low: "--none-to-bad", neither: "--few-to-many" }[measure.better];
  const stops = color(tone).split(/\s+/).map(rgbOf);
  const values = measure.tint.filter((value) => !Number.isNaN(value)).sort();
  const at = (share) => values[Math.round(share * (values.length - 1))] ?? 0;
  let [low, high] = measure.kind === "number" && measure.better === "neither" ? [at(0), at(1)] : [at(0.02), at(0.98)];
  if (measure.id === "level") [low, high] = [Math.min(level, at(1)), Math.max(at(0.995), level + 1)];
  if (measure.kind === "share" && high - low < 0.02) [low, high] = [Math.max(0, low - 0.01), high + 0.01];
  if (measure.better === "low") low = 0;
  if (high <= low) high = low + 1;
  const bend = measure.kind === "count" ? (value) => Math.log1p(Math.max(0, value)) : (value) => value;
  const none = rgbOf(color("--no-value"));
  const of = (value) =>
    Number.isNaN(value) ? none : blend(stops, (bend(value) - bend(low)) / (bend(high) - bend(low)));
  const gradient = `linear-gradient(to right, ${stops.map(css).join(", ")})`;
  const text = measure.kind === "count" ? (value) => short(value) : measure.text;
  const hasNone = values.length < measure.tint.length;
  const ends = { low: (low > at(0) ? "≤ " : "") + text(low), high: (high < at(1) ? "≥ " : "") + text(high) };
  return { of, ...ends, gradient, none: hasNone ? css(none) : "" };
};
