// The state of the page is its address: #CLASS, #CLASS/plots, each perhaps with /sample/KEY, and ?filters behind it.
const DEFAULTS = {
  at: -1,
  view: "",
  sample: "",
  q: "",
  levels: "",
  kind: "all",
  by: "",
  from: "",
  to: "",
  has: "",
  sort: "",
  turned: false,
  flat: false,
  color: "",
  area: "",
};
const ASKED = ["q", "levels", "kind", "by", "from", "to", "has", "sort", "turned", "flat", "color", "area"];
const FILTERS = ["q", "levels", "kind", "by", "from", "to", "has"];

const hashOf = (wanted, wnids) => {
  let path = wanted.at >= 0 ? encodeURIComponent(wnids[wanted.at]) : "";
  if (wanted.view) path += `/${encodeURIComponent(wanted.view)}`;
  if (wanted.sample) path += `/sample/${encodeURIComponent(wanted.sample)}`;
  const asked = ASKED.filter((name) => wanted[name] !== DEFAULTS[name]);
  const query = asked.map((name) => `${name}=${encodeURIComponent(wanted[name] === true ? "1" : wanted[name])}`);
  return `#${path}${query.length ? `?${query.join("&")}` : ""}`;
};

// Returns the state that an address asks for; what it names and this page lacks is left out, and said in `unknown`.
const stateOf = (hash, indexOf) => {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const read = { ...DEFAULTS, unknown: "" };
  try {
    const [label, ...rest] = path.split("/").map(decodeURIComponent);
    if (label) {
      read.at = indexOf.get(label) ?? -1;
      if (read.at < 0) read.unknown = label;
    }
    if (rest.length && rest[0] !== "sample") read.view = rest.shift();
    if (rest[0] === "sample") read.sample = rest[1] ?? "";
    for (const part of query.split("&").filter(Boolean)) {
      const [name, value = ""] = part.split("=").map(decodeURIComponent);
      if (!ASKED.includes(name)) continue;
      read[name] = typeof DEFAULTS[name] === "boolean" ? value === "1" : value;
    }
  } catch {
    return { ...DEFAULTS, unknown: hash };
  }
  return read;
};
