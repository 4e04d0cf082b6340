// Texts and elements. What a model wrote only ever becomes a text node: nothing here reads HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a function among the attributes is a listener. */
function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same within a drawing. */
function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const ORDERS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A text whose invisible orders are spelt out: control characters, and what turns lines. */
function visible(text) {
  const spell = (one) => `[U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`;
  return String(text).replace(/\r\n/g, "\n").replace(ORDERS, spell);
}

/** A name as it is read: `margin_too_small` without its underscores. */
const words = (name) => visible(name).replaceAll("_", " ");

/** The first line of a text that says something, cut to a length. */
function beginning(text, length = 120) {
  const line = visible(text.slice(0, 20 * length)).replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

const NONE = "–";
const counted = (value) => (value === null || value === undefined ? NONE : Math.round(value).toLocaleString("en"));
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

/** One thing or several: `1 row`, `2,000 rows`, `3 prompts without a pair`. */
const plural = (count, thing) => `${counted(count)} ${count === 1 ? thing : thing.replace(/^\w+/, "$&s")}`;

const FRACTIONS = [[1 / 6, "⅙"], [1 / 5, "⅕"], [1 / 4, "¼"], [1 / 3, "⅓"], [1 / 2, "½"], [2 / 3, "⅔"], [3 / 4, "¾"], [5 / 6, "⅚"]];

/** A score: thirds and the like as fractions, anything else with two digits at most. */
function score(value) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  const whole = Math.floor(size + 1e-4);
  const rest = size - whole;
  const sign = value < 0 && size > 1e-9 ? "−" : "";
  if (Math.abs(rest) < 1e-4) return sign + whole.toLocaleString("en");
  const fraction = FRACTIONS.find(([part]) => Math.abs(rest - part) < 1e-4);
  if (fraction && whole < 1000) return sign + (whole || "") + fraction[1];
  return sign + size.toLocaleString("en", { maximumFractionDigits: size < 100 ? 2 : 0 });
}

/** A difference, with its sign. */
const signed = (value) => (value === null || value === undefined ? NONE : value > 0 ? `+${score(value)}` : score(value));

/** Seconds as a person says them. */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Words that differ ---------------------------------------------------------------------------

const MOST_WORDS = 2000;
const segmenter = globalThis.Intl?.Segmenter ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;

function tokens(text) {
  const parts = segmenter ? Array.from(segmenter.segment(text), (part) => part.segment) : text.split(/(\s+)/);
  return parts.filter(Boolean);
}

/**
 * The parts of two texts, each `{text, differs}`: the longest common sequence of words is what they
 * share. Words beyond the first 2,000 are not compared.
 */
function compare(first, second) {
  const [a, b] = [first, second].map(tokens);
  const [m, n] = [Math.min(a.length, MOST_WORDS), Math.min(b.length, MOST_WORDS)];
  const common = new Uint16Array((m + 1) * (n + 1));
  for (let i = m - 1; i >= 0; i--) {
    for (let j = n - 1; j >= 0; j--) {
      const here = i * (n + 1) + j;
      common[here] = a[i] === b[j] ? common[here + n + 2] + 1 : Math.max(common[here + n + 1], common[here + 1]);
    }
  }
  const kept = [new Set(), new Set()];
  for (let i = 0, j = 0; i < m && j < n; ) {
    const here = i * (n + 1) + j;
    if (a[i] === b[j]) kept[0].add(i++), kept[1].add(j++);
    else if (common[here + n + 1] >= common[here + 1]) i++;
    else j++;
  }
  return [parts(a, kept[0], m), parts(b, kept[1], n)];
}

/** Words joined to parts; a space between two words that differ differs too. */
function parts(list, kept, compared) {
  const differs = list.map((_, place) => place < compared && !kept.has(place));
  list.forEach((word, place) => {
    if (!word.trim() && differs[place - 1] && differs[place + 1]) differs[place] = true;
  });
  const joined = [];
  list.forEach((word, place) => {
    const last = joined.at(-1);
    if (last && last.differs === differs[place]) last.text += word;
    else joined.push({ text: word, differs: differs[place] });
  });
  return joined;
}
