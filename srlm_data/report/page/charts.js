// Charts, as plain SVG. Bars are buttons: a click, or Enter, lists their rows.

const HEIGHT = 220;
const MARGIN = { top: 12, right: 8, bottom: 44, left: 46 };
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

/** Marks of a 1-2-5 axis between two values. */
function marks(low, high, wanted = 5) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((width) => width >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

/** A chart that is drawn anew when its width changes. */
function chart(draw, label, height = HEIGHT) {
  const place = element("div", { class: height === HEIGHT ? "chart" : "chart map" });
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (!now || now === width) return;
    width = now;
    const held = place.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
    const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": visible(label) });
    draw(drawing, width);
    place.replaceChildren(drawing);
    rove(drawing);
    if (held !== undefined) place.querySelector(`[data-place="${held}"]`)?.focus();
  }).observe(place);
  return place;
}

/** Of a chart's points one is a stop of the Tab key; arrows go to the others. */
function rove(place) {
  const buttons = [...place.querySelectorAll(".point")];
  buttons.forEach((button, at) => {
    button.setAttribute("tabindex", at ? "-1" : "0");
    button.dataset.place = at;
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const next = step && buttons[at + step];
      if (next) {
        button.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      }
      if (event.key === "Enter" || event.key === " ") button.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      if (step || event.key === "Enter" || event.key === " ") event.preventDefault();
    });
  });
}

// A note beside the pointer, or beside what has the focus; it is the button's label too.
const note = element("div", { class: "note-box", "aria-hidden": "true", hidden: true });

function explain(node, text) {
  const show = (x, y) => {
    note.textContent = text;
    note.hidden = false;
    const box = note.getBoundingClientRect();
    note.style.setProperty("left", `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 4))}px`);
    note.style.setProperty("top", `${y + 16 + box.height > innerHeight ? y - box.height - 8 : y + 16}px`);
  };
  node.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
  node.addEventListener("focus", () => {
    const box = node.getBoundingClientRect();
    show(box.right, box.top);
  });
  for (const event of ["pointerleave", "blur"]) node.addEventListener(event, () => (note.hidden = true));
}

/** A part of a chart that lists its rows. */
function button(node, label, act) {
  label = visible(label);
  fill(node, { role: act ? "button" : "img", "aria-label": label, class: [node.getAttribute("class"), "point"].filter(Boolean).join(" "), click: act }, []);
  explain(node, label);
  return node;
}

function axes(drawing, width, { x, y, xMarks, yMarks, xLabel, yLabel, xTitle, yTitle }) {
  const bottom = HEIGHT - MARGIN.bottom;
  for (const at of yMarks) {
    drawing.append(
      shape("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(at), y2: y(at) }),
      shape("text", { class: "tick", x: MARGIN.left - 6, y: y(at) + 4, "text-anchor": "end" }, yLabel(at)),
    );
  }
  let last = -Infinity;
  for (const at of xMarks) {
    const text = xLabel(at);
    const half = text.length * 3.6;
    if (x(at) - half < last + 6) continue; // no two labels touch
    last = x(at) + half;
    drawing.append(shape("text", { class: "tick", x: x(at), y: bottom + 16, "text-anchor": "middle" }, text));
  }
  drawing.append(
    shape("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }),
    shape("text", { class: "title", x: (MARGIN.left + width - MARGIN.right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, xTitle),
  );
  if (yTitle) drawing.append(shape("text", { class: "title", x: 0, y: 9 }, yTitle));
}

const between = (low, high) => (low === null || low === undefined ? "" : ` (95 %: ${percent(low)} to ${percent(high)})`);

/** A histogram: bars of shares from 0, side by side where there are several flows. */
function bars(data, colour, act) {
  const points = data.series.flatMap((series) => series.points);
  const half = halfOf(points);
  const [first, last] = ends(points.map((point) => point.at));
  const top = Math.max(...points.map((point) => point.high), 0.02);
  return chart((drawing, width) => {
    const x = scale(first - half, last + half, MARGIN.left, width - MARGIN.right);
    const y = scale(0, top, HEIGHT - MARGIN.bottom, MARGIN.top + 6);
    const places = [...new Set(points.map((point) => point.at))].sort((a, b) => a - b);
    axes(drawing, width, {
      x, y, xTitle: data.x, xLabel: score, yLabel: (at) => percent(at, top < 0.05 ? 1 : 0), yMarks: marks(0, top, 4),
      xMarks: data.exact ? inOrder(places) : marks(first - half, last + half, 6),
    });
    const room = (x(2 * half) - x(0)) * 0.86;
    const each = Math.min(room / data.series.length, 46);
    data.series.forEach((series, place) => {
      for (const point of series.points) {
        const left = x(point.at) - (each * data.series.length) / 2 + place * each;
        const middle = left + each / 2;
        const what = data.exact ? score(point.at) : ranged(point);
        const label = `${series.label}: ${data.x} ${what}: ${counted(point.count)} ${data.y}, ${percent(point.share)}${between(point.low, point.high)}`;
        drawing.append(
          button(
            shape("g", {},
              shape("rect", { class: "hit", x: left, width: each, y: MARGIN.top, height: HEIGHT - MARGIN.bottom - MARGIN.top }),
              shape("rect", { class: `bar ${colour(series.label)}`, x: left + 0.5, width: Math.max(each - 1, 1), y: y(point.share), height: y(0) - y(point.share), rx: 1.5 }),
              shape("line", { class: "whisker", x1: middle, x2: middle, y1: y(point.low), y2: y(point.high) })),
            label, () => act(point.select, `${data.title} ${words(data.x)}: ${what}`, point.count)),
        );
      }
    });
  }, `${data.title} Bars of ${data.y} by ${data.x}.`);
}

/** Labels that stay when not all fit: whole numbers before their parts. */
const inOrder = (places) => (places.length > 16 ? places.filter((at) => Math.abs(at - Math.round(at)) < 1e-4) : places);

/** Half of the distance between neighbouring bars. */
function halfOf(points) {
  const places = [...new Set(points.map((point) => point.at))].sort((a, b) => a - b);
  const gaps = places.slice(1).map((at, place) => at - places[place]);
  return gaps.length ? Math.min(...gaps) / 2 : 0.5;
}

const ranged = ({ from, to }) =>
  from === null ? `below ${score(to)}` : to === null ? `${score(from)} or more` : `${score(from)} to ${score(to)}`;

/** Means with their intervals, joined by a line; the axis begins where the values do. */
function lines(data, colour, act) {
  const points = data.series.flatMap((series) => series.points);
  const low = Math.min(...points.map((point) => point.low ?? point.value));
  const high = Math.max(...points.map((point) => point.high ?? point.value));
  const pad = (high - low) * 0.06 || 0.5;
  const [first, last] = ends(points.map((point) => point.at));
  const inset = (last - first) * 0.03 || 1;
  return chart((drawing, width) => {
    const across = scale(first - inset, last + inset, MARGIN.left, width - MARGIN.right);
    const y = scale(low - pad, high + pad, HEIGHT - MARGIN.bottom, MARGIN.top + 10);
    axes(drawing, width, {
      x: across, y, xTitle: data.x, yTitle: data.y, xLabel: score, yLabel: (at) => at.toLocaleString("en", { maximumSignificantDigits: 3 }),
      xMarks: marks(first, last, 6), yMarks: marks(low - pad, high + pad, 4),
    });
    data.series.forEach((series, place) => {
      const x = (at) => across(at) + 9 * (place - (data.series.length - 1) / 2); // side by side
      const path = series.points.map((point, at) => `${at ? "L" : "M"}${x(point.at).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
      drawing.append(shape("path", { class: `line ${colour(series.label)}`, d: path, "stroke-dasharray": DASHES[place % 4] || null }));
      if (series.points.length > 60) return;
      for (const point of series.points) {
        const about = point.from === undefined ? score(point.at) : `${counted(point.from)} to ${counted(point.to)} characters`;
        const span = point.low === undefined || point.low === null ? "" : ` (95 %: ${point.low.toFixed(2)} to ${point.high.toFixed(2)})`;
        const label = `${series.label}: ${point.from === undefined ? `${data.x} ` : ""}${about}: ${data.y} ${point.value.toLocaleString("en", { maximumSignificantDigits: 4 })}${span}${point.count ? `, n = ${counted(point.count)}` : ""}`;
        drawing.append(
          button(
            shape("g", {},
              shape("circle", { class: "hit", cx: x(point.at), cy: y(point.value), r: 11 }),
              span && shape("line", { class: `error ${colour(series.label)}`, x1: x(point.at), x2: x(point.at), y1: y(point.low), y2: y(point.high) }),
              shape("circle", { class: `dot ${colour(series.label)}`, cx: x(point.at), cy: y(point.value), r: 4 })),
            label, point.select && (() => act(point.select, `${data.title} ${about}`, point.count))),
        );
      }
    });
  }, `${data.title} ${data.y} by ${data.x}.`);
}

/** One value a model, with its interval, from left to right as they were made. */
function steps(data) {
  const values = data.points.flatMap((point) => [point.low ?? point.value, point.high ?? point.value]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low) * 0.12 || Math.abs(high) * 0.05 || 1;
  return chart((drawing, width) => {
    const x = scale(-0.5, data.points.length - 0.5, MARGIN.left, width - MARGIN.right);
    const y = scale(low - pad, high + pad, HEIGHT - MARGIN.bottom, MARGIN.top);
    axes(drawing, width, {
      x, y, xTitle: "model", xMarks: data.points.map((_, at) => at), xLabel: (at) => beginning(data.points[at].model, 10),
      yMarks: marks(low - pad, high + pad, 4), yLabel: (at) => at.toLocaleString("en", { maximumSignificantDigits: 4 }),
    });
    drawing.append(shape("path", { class: "line flow-0", d: data.points.map((point, at) => `${at ? "L" : "M"}${x(at)} ${y(point.value)}`).join("") }));
    data.points.forEach((point, at) => {
      const interval = point.low === null ? "" : ` (95 %: ${point.low.toFixed(data.digits)} to ${point.high.toFixed(data.digits)})`;
      drawing.append(
        button(
          shape("g", {},
            interval && shape("line", { class: "error flow-0", x1: x(at), x2: x(at), y1: y(point.low), y2: y(point.high) }),
            shape("circle", { class: "dot flow-0", cx: x(at), cy: y(point.value), r: 4.5 })),
          `${point.model}: ${data.label} ${point.value.toFixed(data.digits)}${interval}, n = ${counted(point.n)}`),
      );
    });
  }, `${data.label}, a point a model.`);
}

/** Points that lie where their texts put them, with the words of their clusters. */
function scatter(data, colour) {
  const height = 420;
  const [left, right] = ends(data.points.map((point) => point.x));
  const [low, high] = ends(data.points.map((point) => point.y));
  const clusters = data.clusters.toSorted((a, b) => b.prompts - a.prompts).map((cluster) => ({ ...cluster, name: visible(cluster.words.join(" · ")) }));
  // The arrow keys go through the largest cluster first, and from left to right in each.
  const placed = data.points.map((point) => ({ ...point, cluster: nearest(clusters, point) })).sort((a, b) => a.cluster - b.cluster || a.x - b.x);
  const about = `A map of ${data.points.length} prompts; clusters: ${clusters.map((cluster) => cluster.name).join("; ")}.`;
  return chart((drawing, width) => {
    const x = scale(left, right, 14, width - 14);
    const y = scale(low, high, height - 16, 16);
    for (const point of placed) {
      const spot = shape("circle", { class: `spot ${colour(point.kind)}`, cx: x(point.x), cy: y(point.y), r: 3.5 });
      drawing.append(button(spot, `${[point.kind, clusters[point.cluster].name].filter(Boolean).join(", ")}: ${beginning(point.text, 240)}`));
    }
    const taken = [];
    for (const { name, ...cluster } of clusters) {
      const half = name.length * 3.8;
      const at = { x: Math.min(Math.max(x(cluster.x), half + 4), Math.max(width - half - 4, half + 4)), y: y(cluster.y) };
      if (!name || half > width / 2 || taken.some((one) => Math.abs(one.y - at.y) < 18 && Math.abs(one.x - at.x) < one.half + half)) continue;
      taken.push({ ...at, half });
      drawing.append(shape("text", { class: "cluster", x: at.x, y: at.y, "text-anchor": "middle" }, name));
    }
  }, about, height);
}

const ends = (values) => [Math.min(...values), Math.max(...values)];

/** The place of the cluster whose middle is nearest to a point. */
function nearest(clusters, point) {
  const distances = clusters.map((cluster) => Math.hypot(cluster.x - point.x, cluster.y - point.y));
  return distances.indexOf(Math.min(...distances));
}
