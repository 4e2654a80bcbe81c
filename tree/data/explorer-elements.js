// Elements, texts and numbers. All text is set as text, never as markup, since names may come from anywhere.
// The page's data, once they are unpacked.
let data = null;
const byId = (id) => document.getElementById(id);
const fill = (made, attributes, content) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...content.filter((part) => part !== null && part !== undefined && part !== false));
  return made;
};
const element = (tag, attributes = {}, ...content) => fill(document.createElement(tag), attributes, content);
const svg = (tag, attributes = {}, ...content) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, content);
const span = (kind, text) => element("span", { class: kind }, text);
const button = (text, action, attributes = {}) => {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", action);
  return made;
};

const number = new Intl.NumberFormat("en-US");
const plural = (count, one, more) => `${number.format(count)} ${count === 1 ? one : more}`;
// 0.25, 950, 12.3k, 1.2M: short enough for a bar or a tile.
const rounded = (value) => +value.toPrecision(3);
const short = (value) => {
  if (value >= 1e6) return `${rounded(value / 1e6)}M`;
  if (value >= 1e4) return `${rounded(value / 1e3)}k`;
  return number.format(Math.abs(value) < 10 ? rounded(value) : Math.round(value));
};
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.01 ? 2 : 1)} %`;
// A name among others: those who write books into them find them whole on the page of the class.
const LONGEST = 80;
const brief = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
// A name of folders may go on in the next line behind an underscore.
const breakable = (text) => text.split(/(?<=_)/).flatMap((part) => [part, element("wbr")]);
const labelOfOption = (select) => select.options[select.selectedIndex]?.textContent ?? "";
const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const option = (value, text, chosen) => element("option", { value, selected: value === chosen }, text);

// Said by screen readers; seen nowhere else.
const say = (text) => {
  byId("said").textContent = text;
};

const download = (name, type, text) => {
  const link = element("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
const fileName = (suffix) => {
  const stem = document.title
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[-.]+/, "")
    .slice(0, 60);
  return `${stem || "classes"}${suffix}`;
};
const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea", { class: "unseen" });
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  say(`${text} copied`);
};
