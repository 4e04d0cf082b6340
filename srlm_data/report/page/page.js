// The page: asks its source, and puts everything in order.

const data = JSON.parse(document.getElementById("data").textContent);
const source = data.live ? new Server(data) : new Sample(data);
const main = document.getElementById("main");
const nav = element("nav", { "aria-label": "Sections" });
const figures = element("div"); // drawn anew when a build has made something; what is written below it stays
const status = element("p", { class: "status", role: "status" });
let labels = [];
let reader;

const colour = (label) => `flow-${Math.max(labels.indexOf(label), 0) % 8}`;
const act = (selection, title, total) => reader.open(selection, title, total);
const opens = (label, selection, title, total, attributes = {}) =>
  element("button", { type: "button", ...attributes, click: () => act(selection, title ?? label, total) }, label);

function section(id, title, ...content) {
  return element("section", { id, "aria-labelledby": `${id}-title` }, element("h2", { id: `${id}-title` }, title), ...content);
}

// The flow ------------------------------------------------------------------------------------

function flowOf(summary) {
  return section("flow", "The flow", element("p", { class: "hint" },
    "Versions from left to right; on the arrows the rows that go in. Solid went on, pale did not. Click on anything to read its rows."),
  ...summary.flows.map((flow) =>
    element("div", { class: "lane" }, summary.flows.length > 1 ? element("h3", {}, dot(flow.label), visible(flow.label)) : null,
      element("ol", {}, ...flow.nodes.map((node, place) => nodeOf(node, flow.nodes[place - 1], place))))));
}

const dot = (label) => element("i", { class: `key-dot ${colour(label)}`, "aria-hidden": "true" });

function nodeOf(node, before) {
  const arrow = before && element("span", { class: "arrow" },
    element("span", {}, counted(before.kept)), shape("svg", { viewBox: "0 0 40 10", "aria-hidden": "true" }, shape("path", { d: "M0 5H34M29 1L34 5L29 9" })),
    node.fan ? element("small", {}, `× ${node.fan.toLocaleString("en", { maximumSignificantDigits: 3 })}`) : null);
  const made = [
    node.alpha ? `judges agree: Krippendorff's alpha ${visible(node.alpha)}` : "",
    node.calls ? `${counted(node.calls)} asked` : "",
    node.reused ? `${counted(node.reused)} reused` : "",
    node.failed ? `${counted(node.failed)} failed` : "",
    node.completion_tokens ? `${compact(node.completion_tokens)} tokens` : "",
    node.seconds !== null ? duration(node.seconds) : "",
    node.money ? node.money.toFixed(2) : "",
  ].filter(Boolean);
  return element("li", {}, arrow,
    element("div", { class: "node" },
      element("button", { type: "button", class: "node-rows", click: () => act(node.select, node.name, node.rows), "aria-label": `${counted(node.kept)} ${node.unit}, ${node.name}: read its rows` },
        element("b", {}, counted(node.kept)), ` ${node.unit}`),
      element("code", {}, visible(node.name), " ", element("small", {}, `@${node.version}`)),
      node.drops.length ? barOf(node) : null,
      element("p", { class: "made" }, node.model ? element("span", {}, `by ${visible(node.model)}`) : null, ...made.map((text) => element("span", {}, text))),
      node.drops.length ? element("ul", { class: "drops" }, ...node.drops.map((drop) =>
        element("li", {}, opens(`− ${counted(drop.count)} ${words(drop.reason)}`, drop.select, `${node.name}: ${words(drop.reason)}`, drop.count)))) : null));
}

function barOf(node) {
  const share = node.came ? node.kept / node.came : 0;
  return shape("svg", { class: "kept-bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", role: "img", "aria-label": `${percent(share)} went on` },
    shape("rect", { class: "pale", width: 100, height: 4 }), shape("rect", { class: "solid", width: 100 * share, height: 4 }));
}

const compact = (value) => value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });

// Four figures --------------------------------------------------------------------------------

const VERDICTS = { fine: ["✓", "fine"], look: ["!", "look at it"], few: ["·", "too few rows to say"] };

function figuresOf(flow, alone) {
  if (!flow.figures.length) return null;
  return element("div", { class: "figures-of" }, alone ? null : element("h3", {}, dot(flow.label), visible(flow.label)),
    element("div", { class: "figures" }, ...flow.figures.map((one) => {
      const [mark, said] = VERDICTS[one.verdict];
      const change = one.before && 100 * (one.share - one.before.share);
      return element("button", { type: "button", class: `figure ${one.verdict}`, click: () => act(one.select, `${flow.label}: ${one.title}`) },
        element("span", { class: "value" }, percent(one.share)),
        element("span", { class: "what" }, one.title),
        element("span", { class: "verdict" }, element("i", { "aria-hidden": "true" }, mark), ` ${said} (wanted: ${one.wanted})`),
        element("span", { class: "small" }, `95 %: ${percent(one.low)} to ${percent(one.high)}, n = ${counted(one.n)}`),
        element("span", { class: "small" }, change === null ? "no iteration before it" : `${change > 0 ? "+" : change < 0 ? "−" : "±"}${Math.abs(change).toFixed(1)} points since ${visible(one.before.name)}`));
    })));
}

function glanceOf(summary) {
  const flows = summary.flows.map((flow) => figuresOf(flow, summary.flows.length === 1)).filter(Boolean);
  if (!flows.length) return null;
  return section("glance", "At a glance", ...flows, knowing(summary));
}

function knowing(summary) {
  const warnings = summary.warnings.map((one) => element("li", {}, element("b", {}, visible(one.dataset)), ` ${visible(one.sentence)}`));
  return element("div", { class: "knowing" }, element("h3", {}, "Worth knowing"),
    warnings.length ? element("ul", { class: "warnings" }, ...warnings) : element("p", {}, "No warning."),
    element("details", {}, element("summary", {}, "What was looked for"), element("ul", {}, ...summary.looked_for.map((what) => element("li", {}, what)))));
}

// Reading -------------------------------------------------------------------------------------

function readingOf(summary) {
  if (!summary.flows.length) return null;
  const total = (table) => source.count(table, "");
  const one = summary.flows.length === 1 ? summary.flows[0].label : "";
  const shelf = (title, ...entries) => element("div", { class: "shelf" }, element("h3", {}, title), element("p", {}, ...entries.filter(Boolean)));
  const entry = (label, selection, title) => opens(label, { dataset: one, ...selection }, title ?? label, undefined, { class: "entry" });
  const by = (sort, label, descending = true) => entry(label, { table: "pairs", sort, descending }, `Pairs: ${label}`);
  const state = (name, label) => summary.charts.some((each) => each.id === "states" && each.series.some((series) => series.points.some((point) => point.name === name))) &&
    entry(label, { table: "judgments", word: "state", value: name });
  return section("read", "Read the rows",
    total("pairs") ? shelf(`${counted(total("pairs"))} pairs`, by("margin", "widest margins"), by("margin", "narrowest margins", false), by("disagreement", "judgments that contradict them"),
      by("spread", "widest spread of scores"), by("length", "longest"), by("chosen_score", "lowest that were chosen", false), entry("an even draw", { table: "pairs" }, "Pairs: an even draw")) : null,
    shelf("Dropped", total("prompts") && entry("tied: all scores equal", { table: "prompts", word: "reason", value: "equal_scores" }),
      total("prompts") && entry("prompts without a pair", { table: "prompts", sort: "gap" }),
      state("unparsed", "unparsed judgments"), state("truncated", "judgments cut off"), state("out_of_range", "judgments off the scale"), state("error", "judgments that failed"),
      total("answers") && entry("answers cut off", { table: "answers", word: "cut_off", value: "true" }),
      summary.left_out.length ? opens("left out by steps", { table: "left_out" }, "What steps left out", summary.left_out.length, { class: "entry" }) : null),
    total("answers") ? shelf("All", entry("answers", { table: "answers" }), entry("judgments", { table: "judgments" })) : null,
    source.live ? reviewsOf(summary) : null);
}

/** What opens a review: two answers side by side, without scores, models or the judge's choice. */
function reviewsOf(summary) {
  const nodes = summary.flows.flatMap((flow) => flow.nodes.filter((node) => ["pairs", "answers"].includes(node.unit)));
  const names = new Map(nodes.toReversed().map((node) => [node.ref, node.name])); // the last made comes first
  const which = element("select", { "aria-label": "What is reviewed" }, ...[...names].map(([ref, name]) => option(ref, name)));
  const by = element("input", { required: true, maxlength: 100, placeholder: "Your name", "aria-label": "Your name" });
  const n = element("input", { type: "number", required: true, min: 1, value: 100, "aria-label": "How many are reviewed in all" });
  return element("form", { class: "shelf", "aria-label": "Review", submit: (event) => {
    event.preventDefault();
    location.assign(`review/${which.value}?${new URLSearchParams({ by: by.value.trim(), n: n.value })}`);
  } }, element("h3", {}, "Review: say which of two answers is better, blind"), element("p", {}, which, by, n, element("button", { type: "submit", class: "entry" }, "Review")));
}

// Charts --------------------------------------------------------------------------------------

function figure(title, says, drawing, small = "") {
  return element("figure", {}, element("figcaption", {}, element("h3", {}, visible(title)), ...says, small ? element("p", { class: "small" }, small) : null), drawing);
}

const saying = (says) => says.map((one) => element("p", {}, labels.length > 1 ? [dot(one.label), element("b", {}, visible(one.label)), " "] : [], one.text));

function sections(summary) {
  const names = [...new Set(summary.charts.map((one) => one.section))];
  return names.map((name) => section(name.toLowerCase().replaceAll(" ", "-"), name,
    element("p", { class: "hint" }, "Click on a bar or a point to read its rows. Thin lines are 95 % intervals; repeated judgments of an answer count once in them."),
    element("div", { class: "grid" }, ...summary.charts.filter((one) => one.section === name).map(chartOf))));
}

function chartOf(one) {
  const sizes = one.series.map((series) => `${labels.length > 1 ? `${visible(series.label)} ` : ""}n = ${counted(series.n)}`).join(", ");
  const says = one.says.length ? saying(one.says) : [];
  const small = `${sizes} ${one.unit}${one.kind === "lines" ? "; the axis does not begin at 0" : ""}`;
  const drawing = { bars, lines, rows: rowsOf }[one.kind](one, colour, act);
  return figure(one.title, says, drawing, small);
}

/** Shares with a name each, as rows: bars that begin at 0 and end at 100 %. */
function rowsOf(one) {
  return element("table", { class: "states" }, element("tbody", {}, ...one.series.flatMap((series) => series.points.map((point) =>
    element("tr", {}, element("th", { scope: "row" }, labels.length > 1 ? dot(series.label) : null, opens(words(point.name), point.select, `${series.label}: ${words(point.name)} judgments`, point.count)),
      element("td", {}, shape("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, shape("rect", { class: "track", width: 100, height: 6 }),
        shape("rect", { class: `bar ${colour(series.label)}`, width: 100 * point.share, height: 6 }))),
      element("td", { class: "number" }, `${percent(point.share)} (${counted(point.count)})`))))));
}

function mapOf(map) {
  const kinds = [...new Set(map.points.map((point) => point.kind))];
  const of = (kind) => (labels.includes(kind) ? colour(kind) : `flow-${(labels.length + kinds.filter((one) => !labels.includes(one)).indexOf(kind)) % 8}`);
  return section("map", "The prompts", figure("Which prompts are alike?", [
    element("p", {}, ...kinds.map((kind) => element("span", { class: "legend" }, element("i", { class: `key-dot ${of(kind)}`, "aria-hidden": "true" }), `${visible(kind)} (${counted(map.points.filter((point) => point.kind === kind).length)})`)))],
  scatter(map, of), "A sample of the prompts. Those that share words lie together; directions mean nothing. The words name what sets a cluster apart. IFT and EFT trained the first models."));
}

function modelsOf(summary) {
  const moving = summary.metrics.filter((one) => new Set(one.points.map((point) => point.value)).size > 1);
  const steady = summary.metrics.filter((one) => !moving.includes(one));
  const curves = summary.curves.map((one) => figure(`${one.label}: ${one.measure}`, [],
    lines({ title: one.measure, x: "optimizer step", y: one.measure, series: [{ label: one.label, points: one.points }] }, () => "flow-0")));
  if (!moving.length && !steady.length && !curves.length && !summary.duels.length) return null;
  return section("models", "The models",
    moving.length ? element("div", { class: "grid small-grid" }, ...moving.map((one) => figure(one.label, [element("p", {}, one.points.map((point) => point.value.toFixed(one.digits)).join(" → "))], steps(one)))) : null,
    steady.length ? element("p", { class: "small" }, `The same for all: ${steady.map((one) => `${visible(one.label)} ${one.points[0].value.toFixed(one.digits)}`).join(", ")}.`) : null,
    summary.duels.length ? figure("Who answers better? A tie counts half.", [], duelsOf(summary.duels)) : null,
    curves.length ? element("h3", { class: "over" }, "Training curves") : null,
    curves.length ? element("div", { class: "grid small-grid" }, ...curves) : null);
}

function duelsOf(duels) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Head to head" }, element("table", { class: "duels" },
    element("thead", {}, element("tr", {}, ...["models", "wins, ties, losses", "win rate", "prompts"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...duels.map((duel) => {
      let from = 0;
      const parts = ["wins", "ties", "losses"].map((name) => {
        const part = shape("rect", { class: name, x: from, width: 100 * (duel[name] ?? 0), height: 8 });
        from += 100 * (duel[name] ?? 0);
        return part;
      });
      const said = ["wins", "ties", "losses"].map((name) => `${name} ${percent(duel[name] ?? 0)}`).join(", ");
      return element("tr", {}, element("th", { scope: "row" }, `${visible(duel.model)} v ${visible(duel.versus)}`),
        element("td", {}, shape("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": said }, ...parts), element("small", {}, said)),
        element("td", { class: "number" }, duel.win_rate === undefined ? NONE : percent(duel.win_rate), duel.low === undefined ? "" : element("small", {}, ` ${percent(duel.low)} to ${percent(duel.high)}`)),
        element("td", { class: "number" }, counted(duel.n)));
    }))));
}

// Tables --------------------------------------------------------------------------------------

function table(name, columns, rows, foot) {
  const cells = (row, tag = "td") => element("tr", {}, ...row.map((value, place) => (place ? element(tag, typeof value === "number" ? { class: "number" } : {}, shown(value)) : element("th", { scope: "row" }, shown(value)))));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, visible(column))))),
    element("tbody", {}, ...rows.map((row) => cells(row))), foot ? element("tfoot", {}, cells(foot)) : null));
}

const shown = (value) => (value === null || value === undefined ? NONE : typeof value === "number" ? (Number.isInteger(value) ? counted(value) : value.toLocaleString("en", { maximumSignificantDigits: 5 })) : typeof value === "string" ? visible(value) : value);

function failuresOf(summary) {
  if (!summary.failures.length) return null;
  return section("failures", "Requests that failed", table("Requests that failed", ["dataset", "requests", "kind", "first message"],
    summary.failures.map((one) => [one.dataset, one.count, words(one.kind), one.sentence + (one.accepted ? " (accepted)" : "")])));
}

function costsOf(summary) {
  if (!summary.costs.length) return null;
  const sum = (name) => summary.costs.reduce((total, one) => total + (one[name] ?? 0), 0);
  const spent = ["calls", "reused", "prompt_tokens", "completion_tokens"];
  const money = sum("money") > 0;
  return section("versions", "Versions and what they cost", table("Versions and what they cost",
    ["version", "rows", "time", "asked", "reused", "tokens read", "tokens written", ...(money ? ["money"] : []), "made"],
    summary.costs.map((one) => [opens(`${one.name}@${one.version}`, { table: "version", dataset: one.ref }, one.ref, one.rows, { class: "plain-link" }), one.rows, duration(one.seconds), ...spent.map((name) => one[name] ?? null), ...(money ? [one.money ?? null] : []), one.at]),
    ["all of it", "", duration(sum("seconds")), ...spent.map(sum), ...(money ? [sum("money")] : []), ""]));
}

// Live ----------------------------------------------------------------------------------------

function askOf(queries) {
  const text = element("textarea", { rows: 4, spellcheck: "false", "aria-label": "A query" }, "SELECT model_name, state, count(*) AS judgments, avg(score) AS score\nFROM all_judgments GROUP BY ALL ORDER BY ALL");
  const answer = element("div", { class: "answer-of", "aria-live": "polite" });
  const run = async () => {
    answer.replaceChildren("…");
    const began = performance.now();
    try {
      const { columns, rows, more } = await source.ask("api/sql", { query: text.value });
      const seconds = ((performance.now() - began) / 1000).toFixed(2);
      answer.replaceChildren(element("p", { class: "small" }, `${plural(rows.length, "row")}${more ? ", and there are more" : ""}, ${seconds} s`), table("The answer", columns, rows));
    } catch (error) {
      answer.replaceChildren(element("p", { role: "alert", class: "alert" }, element("code", {}, visible(error.message))));  // a caret points
    }
  };
  text.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && run());
  const shipped = element("select", { "aria-label": "A query that comes with the package" }, option("", "queries that come with it"), ...Object.keys(queries).map((name) => option(name, name)));
  shipped.addEventListener("change", () => shipped.value && (text.value = queries[shipped.value]));
  return section("sql", "Ask with SQL", element("p", { class: "hint" }, "Datasets are tables: iter1.pairs, iter1.pairs@3f2a, all_judgments, versions, drops. Ctrl+Enter runs it."),
    text, element("p", { class: "row" }, element("button", { type: "button", class: "strong", click: run }, "Run"), shipped), answer);
}

function recipesOf(state) {
  const boxes = state.recipes.map((name) => {
    const box = element("input", { type: "checkbox", value: name, id: `recipe-${name}`, checked: state.names.includes(name) });
    return element("span", {}, box, element("label", { for: `recipe-${name}` }, ` ${visible(name)} `));
  });
  return element("form", { class: "recipes", "aria-label": "Recipes", submit: (event) => {
    event.preventDefault();
    const names = [...event.target.querySelectorAll("input:checked")].map((box) => ["name", box.value]);
    if (names.length) location.search = new URLSearchParams(names);
  } }, "Side by side: ", ...boxes, element("button", { type: "submit", class: "quiet" }, "Show"));
}

let state = null; // of the store, as the server told it last
let said = "";

/** Say what is being counted and built; who has it read out hears each once. */
function say() {
  const { counting, building } = state;
  const parts = building.map((one) =>
    element("span", { class: "building" }, `${visible(one.name)} is being built`, one.answers ? `, ${compact(one.answers)}B of answers so far` : ""));
  if (drawing) {
    parts.unshift(element("span", { class: "counting" }, counting ? `Counting ${plural(counting.rows, "row")}: ${visible(counting.what)} ` : "Counting … ",
      element("progress", { max: counting?.parts ?? 1, value: counting?.done ?? 0, "aria-label": "Counted" })));
  }
  const saying = parts.map((part) => part.textContent).join("\n");
  if (saying !== said) status.replaceChildren(...parts);
  said = saying;
}

function complain(error) {
  said = error.message;
  status.replaceChildren(element("span", { role: "alert", class: "alert" }, visible(error.message)));
}

/** Follow a build: say what is being made, and show what is new when it is there. */
async function follow() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, drawing ? 300 : 2000));
    try {
      state = await source.ask("api/state");
      if (state.fingerprint !== drawn && !drawing && !reader?.dialog.open) draw();
      else say();
    } catch (error) {
      complain(error);
    }
  }
}

// All of it -----------------------------------------------------------------------------------

let drawing = false;
let drawn; // the fingerprint of what is shown, or of what could not be

function head(title, ...rest) {
  document.getElementById("top").replaceChildren(
    element("p", { class: "kicker" }, source.live ? "srlm-data view" : "srlm-data report"), element("h1", {}, visible(title)), ...rest, status, nav);
}

/** Links to the sections that there are. */
function navigate() {
  nav.replaceChildren(...[...main.querySelectorAll("section")].map((part) => element("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)));
}

async function begin() {
  main.replaceChildren(figures);
  document.getElementById("foot").replaceChildren(element("p", {}, source.live
    ? "Live over the store; only the labels of reviews are written to it."
    : `Made by srlm-data report. One file that loads nothing and sends nothing, with a sample of the rows and texts cut at ${counted(source.longest)} characters. Figures count every row.`));
  if (source.live) {
    head("Counting …");
    state = await source.ask("api/state");
    head(state.names.join(", ") || "Counting …");
    main.append(askOf(state.queries));
    follow();
  }
  await draw();
}

async function draw() {
  drawing = true;
  drawn = state?.fingerprint;
  if (state) say();
  try {
    const { summary, map } = await source.start();
    drawn = summary.fingerprint;
    show(summary, map);
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    complain(error);
    document.documentElement.dataset.ready = "no";
    return;
  } finally {
    drawing = false;
  }
  if (state) say();
}

function show(summary, map) {
  labels = summary.flows.map((flow) => flow.label);
  if (reader) reader.labels = labels;
  else reader = new Reader(source, labels, colour);
  const place = element("div");
  const parts = [
    summary.flows.length ? flowOf(summary) : null, glanceOf(summary), readingOf(summary), ...sections(summary), place,
    modelsOf(summary), failuresOf(summary), costsOf(summary),
  ].filter(Boolean);
  note.hidden = true;
  figures.replaceChildren(...parts);
  head(summary.title || "Nothing to show yet", element("p", { class: "about" }, about(summary)), state?.recipes.length ? recipesOf(state) : "");
  navigate();
  Promise.resolve(map).then((found) => {
    if (!found) return;
    place.replaceWith(mapOf(found));
    navigate();
  });
}

function about(summary) {
  return summary.overview.map((row) => [
    `${labels.length > 1 ? `${visible(row.dataset)}: ` : ""}${counted(row.answers)} answers`, row.judgments ? `judged ${counted(row.judgments)} times` : "", row.pairs ? `became ${counted(row.pairs)} pairs` : "",
  ].filter(Boolean).join(", ")).join("; ");
}

document.body.append(note);
begin().catch(complain);
