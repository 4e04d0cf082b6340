// The reader: a list of rows beside the one that is read. j and k go down and up.

const SORTS = {
  pairs: { margin: "margin", length: "length", spread: "spread of an answer's scores", disagreement: "disagreement", longer: "characters chosen is longer", chosen_score: "score of chosen" },
  answers: { score: "score", length: "length", spread: "spread of its scores" },
  prompts: { gap: "gap between best and worst", best: "best score" },
};
const TABLES = { pairs: "pair", answers: "answer", judgments: "judgment", prompts: "prompt without a pair", version: "row", left_out: "example of what was left out" };

class Reader {
  constructor(source, labels, colour) {
    Object.assign(this, { source, labels, colour, rows: [], at: 0, asked: 0 });
    this.heading = element("h2", { id: "reader-title" });
    this.about = element("p", { class: "about", "aria-live": "polite" });
    this.search = element("input", { type: "search", placeholder: "Search the texts, or an id", "aria-label": "Search the texts, or an id" });
    this.sort = element("select", { "aria-label": "Sort by" });
    this.way = element("button", { type: "button", class: "quiet", title: "Reverse the order" });
    this.flow = element("select", { "aria-label": "Iteration" });
    this.chip = element("span", { class: "chip" });
    this.list = element("ol", { class: "list", "aria-label": "Rows" });
    this.more = element("button", { type: "button", class: "quiet more", click: () => this.extend() }, "More rows");
    this.detail = element("article", { class: "detail", tabindex: "0", "aria-label": "The row" });
    this.dialog = element("dialog", { class: "reader", "aria-labelledby": "reader-title" },
      element("header", {},
        element("div", {}, this.heading, this.about),
        element("button", { type: "button", class: "close", "aria-label": "Close", click: () => this.dialog.close() }, "×")),
      element("div", { class: "controls" }, this.flow, this.search, this.sort, this.way, this.chip,
        element("span", { class: "keys" }, element("kbd", {}, "j"), " next ", element("kbd", {}, "k"), " previous")),
      element("div", { class: "columns" }, element("div", { class: "side" }, this.list, this.more), this.detail));
    let waiting;
    this.search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.change({ search: this.search.value }), 250);
    });
    this.sort.addEventListener("change", () => this.change({ sort: this.sort.value, descending: true }));
    this.way.addEventListener("click", () => this.change({ descending: this.selection.descending === false }));
    this.flow.addEventListener("change", () => this.change({ dataset: this.flow.value }));
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    document.body.append(this.dialog);
  }

  /** Open the rows of a selection; `title` says what was clicked, `total` how many rows it counts. */
  open(selection, title, total) {
    this.selection = { ...selection };
    this.title = title;
    this.known = total;
    this.search.value = selection.search ?? "";
    if (!this.dialog.open) this.dialog.showModal();
    this.load();
    this.list.querySelector("button")?.focus();
  }

  change(changes) {
    const cut = !("sort" in changes || "descending" in changes);
    if (cut) this.known = undefined;
    this.selection = { ...this.selection, ...changes };
    this.load();
  }

  controls() {
    const { table, dataset, sort, field, word } = this.selection;
    const sorts = SORTS[table] ?? {};
    this.heading.textContent = visible(this.title);
    this.sort.replaceChildren(option("", "even draw", !sort), ...Object.entries(sorts).map(([name, label]) => option(name, `by ${label}`, name === sort)));
    this.sort.hidden = !Object.keys(sorts).length;
    this.way.hidden = this.sort.hidden || !sort;
    this.way.textContent = this.selection.descending === false ? "↑ lowest first" : "↓ highest first";
    const flows = this.labels.length > 1 && ["pairs", "answers", "judgments", "prompts"].includes(table);
    this.flow.hidden = !flows;
    this.flow.replaceChildren(option("", "all iterations", !dataset), ...this.labels.map((label) => option(label, label, label === dataset)));
    const cut = field || word;
    this.chip.hidden = !cut;
    if (cut) {
      const label = word ? `${words(word)}: ${words(this.selection.value)}` : words(field) + " " + cutText(this.selection);
      this.chip.replaceChildren(label, element("button", {
        type: "button", "aria-label": `Show all, not only ${label}`,
        click: () => this.change({ field: undefined, low: undefined, high: undefined, word: undefined, value: undefined }),
      }, "×"));
    }
  }

  async load() {
    this.controls();
    const asked = ++this.asked;
    const { table, dataset, search } = this.selection;
    const all = this.source.live && search && this.source.count(table, dataset);
    this.about.textContent = all ? `Searching the texts of ${plural(all, TABLES[table])} …` : "…";
    this.dialog.setAttribute("aria-busy", "true");
    try {
      const { rows, total } = await this.source.rows(clean({ ...this.selection, offset: 0 }));
      if (asked !== this.asked) return;
      Object.assign(this, { rows, total, at: 0 });
      this.show();
    } catch (error) {
      if (asked !== this.asked) return;
      this.about.textContent = "";
      this.list.replaceChildren();
      this.more.hidden = true;
      this.detail.replaceChildren(element("p", { role: "alert", class: "alert" }, visible(error.message)));
    } finally {
      if (asked === this.asked) this.dialog.removeAttribute("aria-busy");
    }
  }

  /** Fetch the rows after those that are shown, once at a time. */
  extend() {
    this.extending ??= this.fetch().finally(() => (this.extending = null));
    return this.extending;
  }

  async fetch() {
    const asked = this.asked;
    try {
      const { rows } = await this.source.rows(clean({ ...this.selection, offset: this.rows.length }));
      if (asked !== this.asked) return;
      this.rows.push(...rows);
      this.list.append(...rows.map((row, place) => this.item(row, this.rows.length - rows.length + place)));
      this.more.hidden = !rows.length || this.rows.length >= this.total;
    } catch (error) {
      if (asked === this.asked) this.about.textContent = visible(error.message);
    }
  }

  show() {
    const { table } = this.selection;
    const here = plural(this.total, TABLES[table]);
    const all = this.known ?? (this.selection.field || this.selection.word || this.selection.search ? undefined : this.source.count?.(table, this.selection.dataset));
    const of = all === undefined || all === null ? "" : ` of ${counted(all)}`;
    this.about.textContent = this.source.live || table === "left_out" ? `${here}.`
      : `${here}${of} in the sample that this file holds. 'srlm-data view' shows every row.`;
    this.list.replaceChildren(...this.rows.map((row, place) => this.item(row, place)));
    this.more.hidden = this.rows.length >= this.total;
    if (this.rows.length) this.go(0, false);
    else this.detail.replaceChildren(element("p", { class: "empty" }, this.source.live ? "No row matches." : "No row of the sample matches."));
  }

  item(row, place) {
    return element("li", {}, element("button", { type: "button", click: () => this.go(place) }, ...headline(this.selection.table, row)));
  }

  async go(place, focus = true) {
    if (place >= this.rows.length && this.rows.length < this.total) await this.extend();
    if (!this.rows[place]) return;
    this.at = place;
    const buttons = this.list.querySelectorAll("button");
    buttons.forEach((one, at) => (at === place ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current")));
    buttons[place]?.scrollIntoView({ block: "nearest" });
    if (focus) buttons[place]?.focus({ preventScroll: true });
    this.read(this.rows[place]);
  }

  read(row) {
    this.detail.replaceChildren(...details(this.selection.table, row, this.colour));
    this.detail.scrollTop = 0;
    if (this.source.live && JSON.stringify(row).includes("characters more)")) {
      const whole = element("button", { type: "button", class: "quiet", click: async () => {
        const { rows } = await this.source.rows({ table: this.selection.table, dataset: row.dataset, id: row.key ?? row.id, whole: true });
        if (rows.length) this.detail.replaceChildren(...details(this.selection.table, rows[0], this.colour));
      } }, "Show the full texts");
      this.detail.prepend(whole);
    }
  }

  key(event) {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { j: 1, k: -1 }[event.key] ?? (event.target.closest(".list") ? { ArrowDown: 1, ArrowUp: -1 }[event.key] : 0);
    if (event.key === "/") this.search.focus();
    else if (step) this.go(Math.max(this.at + step, 0));
    else return;
    event.preventDefault();
  }
}

const option = (value, label, selected) => element("option", { value, selected }, visible(label));
const clean = (selection) => Object.fromEntries(Object.entries(selection).filter(([, value]) => value !== undefined && value !== ""));
const cutText = ({ low, high }) =>
  low === undefined ? `below ${score(high)}` : high === undefined ? `${score(low)} or more` : `${score(low)} to ${score(high)}`;

/** What the list says of a row. */
function headline(table, row) {
  const said = row.prompt?.length ? beginning(row.prompt.at(-1).text) : "";
  const parts = {
    pairs: () => [row.margin === null ? "no margin" : signed(row.margin), `${score(row.chosen.score)} v ${score(row.rejected.score)}`, said],
    answers: () => [score(row.score), `${counted(row.length)} characters`, beginning(row.answer.text)],
    judgments: () => [row.state === "parsed" ? score(row.score) : words(row.state), "", beginning(row.answer.judgments[0].text)],
    prompts: () => [row.gap === null ? "no scores" : `gap ${score(row.gap)}`, words(row.reason), said],
    version: () => ["", "", beginning(Object.values(row.columns).find((text) => text.length > 40) ?? row.id)],
    left_out: () => [words(row.reason), "", beginning(row.columns.record)],
  }[table]();
  return [element("b", {}, parts[0]), " ", element("span", {}, parts[1]), element("span", { class: "gist" }, parts[2])];
}

/** A row in full. */
function details(table, row, colour) {
  const facts = [row.dataset && element("span", { class: `key ${colour(row.dataset)}` }, visible(row.dataset))];
  if (row.model) facts.push(element("span", {}, "written by ", element("b", {}, visible(row.model))));
  if (table === "pairs") {
    facts.push(element("span", {}, "margin ", element("b", {}, signed(row.margin))),
      element("span", {}, "spread ", element("b", {}, score(row.spread))),
      element("span", { title: "The best judgment of the rejected answer, less the worst of the chosen one: at zero or above, single judgments contradict the pair." },
        "disagreement ", element("b", {}, signed(row.disagreement))));
  }
  if (table === "prompts") facts.push(element("span", {}, words(row.reason)));
  const head = element("p", { class: "facts" }, ...facts);
  const trace = table === "left_out" ? null : lineage(row.id);
  if (row.columns) {
    return [head, element("dl", { class: "record" }, ...Object.entries(row.columns).flatMap(([name, text]) => [element("dt", {}, words(name)), element("dd", {}, textOf(text))])), trace];
  }
  return [head, conversation(row.prompt), ...body(table, row), trace];
}

function body(table, row) {
  if (table === "pairs") return pairOf(row);
  const sides = table === "prompts" ? row.all : [row.answer];
  return [element("div", { class: "answers" }, ...sides.map((side) => answer("answer", side, textOf(side.text))))];
}

function pairOf(row) {
  const [chosen, rejected] = [row.chosen, row.rejected].map((side) => visible(side.text));
  const plain = [textOf(row.chosen.text), textOf(row.rejected.text)];
  const marked = compare(chosen, rejected).map((found) =>
    element("p", { class: "text", dir: "auto" }, ...found.map((part) => (part.differs ? element("mark", {}, part.text) : part.text))));
  const sides = element("div", { class: "answers" });
  const draw = (differences) => {
    const texts = differences ? marked : plain;
    sides.replaceChildren(answer("chosen", row.chosen, texts[0]), answer("rejected", row.rejected, texts[1]));
  };
  const box = element("input", { type: "checkbox", id: "differences", checked: true });
  box.addEventListener("change", () => draw(box.checked));
  draw(true);
  return [element("p", { class: "switch" }, box, element("label", { for: "differences" }, " mark the words that differ")), sides];
}

function answer(role, side, text) {
  const length = side.length === null ? "" : plural(side.length, "character");
  return element("section", { class: `answer ${role}` },
    element("h3", {}, role, " ", element("b", {}, score(side.score)), " ", element("small", {}, length)),
    text, ...side.judgments.map(judgment));
}

function judgment(said) {
  const verdict = said.state === "parsed" ? score(said.score) : words(said.state);
  return element("details", { open: true, class: "judgment" },
    element("summary", {}, "judged ", element("b", {}, verdict), said.model ? ` by ${visible(said.model)}` : ""), textOf(said.text));
}

function conversation(turns) {
  return element("div", { class: "prompt" }, ...turns.map((turn) =>
    element("div", { class: "turn" }, turns.length > 1 ? element("h3", {}, visible(turn.role)) : null, textOf(turn.text))));
}

const textOf = (text) => element("p", { class: "text", dir: "auto" }, visible(text));

/** The command that says where a row comes from, to copy. */
function lineage(id) {
  const command = element("code", {}, `srlm-data lineage ${visible(id).slice(0, 12)}`);
  const copy = element("button", { type: "button", class: "quiet", click: async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      copy.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(command);
      copy.textContent = "selected: copy it now";
    }
  } }, "copy");
  return element("p", { class: "lineage" }, "Where it comes from: ", command, " ", copy);
}
