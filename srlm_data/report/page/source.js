// Where rows come from: the sample that an offline file holds, or the server of `srlm-data view`.

/** Whether a row of the sample belongs to a selection; the server says the same in SQL. */
function belongs(row, selection) {
  if (selection.id) return row.id === selection.id || row.key === selection.id;
  if (selection.dataset && row.dataset !== selection.dataset) return false;
  if (selection.word && String(row[selection.word]) !== selection.value) return false;
  if (selection.field) {
    const value = row[selection.field];
    if (value === null || value === undefined) return false;
    if (selection.low !== undefined && value < selection.low) return false;
    if (selection.high !== undefined && value >= selection.high) return false;
  }
  return !selection.search || searched(row).includes(selection.search.toLowerCase());
}

const searchedTexts = new WeakMap();

function searched(row) {
  if (!searchedTexts.has(row)) {
    const texts = [];
    const collect = (value) => {
      if (typeof value === "string") texts.push(value);
      else if (value && typeof value === "object") Object.values(value).forEach(collect);
    };
    collect(row);
    searchedTexts.set(row, texts.join("\n").toLowerCase());
  }
  return searchedTexts.get(row);
}

function sorted(rows, selection) {
  if (!selection.sort) return rows;
  const way = selection.descending === false ? 1 : -1;
  const none = (row) => row[selection.sort] === null || row[selection.sort] === undefined;
  return rows.toSorted((a, b) => none(a) - none(b) || way * (a[selection.sort] - b[selection.sort]) || (a.id < b.id ? -1 : 1));
}

class Sample {
  live = false;

  constructor(data) {
    this.data = data;
    this.longest = data.sample.longest;
  }

  async start() {
    return { summary: this.data.summary, map: this.data.map };
  }

  /** How many rows a table has in all. */
  count(table, label) {
    const counts = this.data.sample.counts[table] ?? {};
    return label ? counts[label] : Object.values(counts).reduce((sum, count) => sum + count, 0);
  }

  async rows(selection) {
    const all = selection.table === "left_out" ? this.data.summary.left_out : this.data.sample.rows[selection.table];
    const found = sorted((all ?? []).filter((row) => belongs(row, selection)), selection);
    const offset = selection.offset ?? 0;
    return { rows: found.slice(offset, offset + 50), total: found.length };
  }
}

class Server {
  live = true;

  constructor(data) {
    this.data = data;
    this.names = new URLSearchParams(location.search).getAll("name");
    this.counts = {};
  }

  async ask(path, body, names = this.names) {
    const query = new URLSearchParams(names.map((name) => ["name", name]));
    const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    let response;
    try {
      response = await fetch(`${path}?${query}`, options);
    } catch {
      throw new Error("The server does not answer. Start 'srlm-data view' again, and open its address.");
    }
    const text = await response.text();
    if (!response.ok) throw new Error(text.startsWith("{") ? JSON.parse(text).error : text);
    return JSON.parse(text);
  }

  async start() {
    const summary = await this.ask("api/summary");
    this.counts = summary.counts;
    this.left = summary.left_out;
    this.shown = summary.names; // which may be all that there were
    return { summary, map: this.ask("api/map", undefined, this.shown).catch(() => null) };
  }

  count(table, label) {
    const counts = this.counts[table] ?? {};
    return label ? counts[label] : Object.values(counts).reduce((sum, count) => sum + count, 0);
  }

  async rows(selection) {
    if (selection.table === "left_out") {
      const found = this.left.filter((row) => belongs(row, selection));
      return { rows: found, total: found.length };
    }
    return this.ask("api/rows", { limit: 20, ...selection }, this.shown);
  }
}
