// Shows two answers at a time and keeps what a person says of them. All texts arrive as JSON and
// leave as text nodes; no model's text is ever HTML.
"use strict";

const review = JSON.parse(document.getElementById("data").textContent);
const { items } = review;
const byId = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("[data-choice]")];
const note = byId("note");

// Kept in the browser as they come: a page that is closed goes on where it was.
const key = `srlm-data review ${review.id}`;
const read = () => {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return {};
  }
};
const labels = { ...review.labels };
const unsent = []; // made here after what the server has, on a page that was left too soon
for (const [id, label] of Object.entries(read())) {
  if (Date.parse(labels[id]?.labelled_at) >= Date.parse(label.labelled_at)) continue;
  labels[id] = label;
  unsent.push(label);
}
const keep = () => {
  try {
    localStorage.setItem(key, JSON.stringify(labels));
  } catch {
    // A browser that keeps nothing: the labels live as long as the page.
  }
};

const idOf = (item) => `${item.first_id} ${item.second_id}`;
const labelOf = (place) => labels[idOf(items[place])];
const count = () => items.filter((item) => labels[idOf(item)]).length;
const next = (from) => {
  for (let step = 0; step < items.length; step += 1) {
    const place = (from + step) % items.length;
    if (!labelOf(place)) return place;
  }
  return items.length;
};

let place = items.length;

// Seconds that an item was in sight: a hidden page does not count.
let looked = 0;
let since = null;
const look = () => {
  since = document.hidden ? null : performance.now();
};
const seconds = () => looked + (since === null ? 0 : (performance.now() - since) / 1000);
document.addEventListener("visibilitychange", () => {
  looked = seconds();
  look();
});

const element = (name, className, text) => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};

// What stands between fences is code; the fences stay, so that no character is hidden.
const write = (where, text) => {
  const parts = [];
  let inside = false;
  for (const line of text.split(/(?<=\n)/)) {
    const fence = line.trimStart().startsWith("```");
    const kind = inside || fence ? "code" : "prose";
    if (parts.at(-1)?.kind === kind) parts.at(-1).lines.push(line);
    else parts.push({ kind, lines: [line] });
    if (fence) inside = !inside;
  }
  where.replaceChildren(...parts.map(({ kind, lines }) => element("span", kind, lines.join(""))));
  where.classList.toggle("empty", !text);
};

const showProgress = () => {
  const done = count();
  byId("progress").setAttribute("aria-valuemax", items.length);
  byId("progress").setAttribute("aria-valuenow", done);
  byId("progress").firstElementChild.style.width = `${(100 * done) / items.length}%`;
  byId("download").hidden = review.live || !done || place >= items.length;
};

const show = (wanted) => {
  place = wanted;
  const over = place >= items.length;
  byId("item").hidden = over;
  byId("bar").hidden = over;
  byId("end").hidden = !over;
  showProgress();
  if (over) {
    showEnd();
    return;
  }
  const item = items[place];
  const label = labelOf(place);
  byId("place").textContent = `${place + 1} of ${items.length}`;
  byId("before").textContent = label ? "labelled; another choice replaces it" : "";
  byId("prompt").replaceChildren(
    ...item.prompt.map((turn) => {
      const shown = element("div", "turn", "");
      if (item.prompt.length > 1) shown.append(element("span", "role", turn.role));
      const text = element("div", "text", "");
      text.dir = "auto";
      write(text, turn.text);
      shown.append(text);
      return shown;
    }),
  );
  write(byId("first"), item.first);
  write(byId("second"), item.second);
  for (const side of ["first", "second"]) {
    byId(side).parentElement.classList.toggle("chosen", label?.choice === side);
  }
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.choice === label?.choice));
  }
  note.value = label?.note ?? "";
  byId("back").disabled = place === 0;
  byId("forward").disabled = !label;
  looked = 0;
  look();
  scrollTo(0, 0);
  byId("item").focus({ preventScroll: true });
};

const showEnd = () => {
  const said = Object.groupBy(items.map((item) => labels[idOf(item)]), (label) => label.choice);
  const times = items.map((item) => labels[idOf(item)].seconds).sort((a, b) => a - b);
  const tally = {
    "first better": said.first?.length ?? 0,
    "second better": said.second?.length ?? 0,
    ties: said.tie?.length ?? 0,
    skipped: said.skip?.length ?? 0,
    "seconds each": times[Math.floor(times.length / 2)],
  };
  byId("end-title").textContent = `All ${items.length} are labelled. Thank you.`;
  byId("tally").replaceChildren(
    ...Object.entries(tally).map(([name, number]) => {
      const shown = document.createElement("div");
      shown.append(element("dt", "", name), element("dd", "", number.toLocaleString("en")));
      return shown;
    }),
  );
  advise();
  byId("import").hidden = review.live;
  byId("download-end").hidden = review.live;
  byId("command").textContent = review.command;
  byId("end").focus();
};

const advise = () => {
  const live = waiting.length
    ? "Not all labels are in the store yet. Keep this page open until they are."
    : "The labels are in the store. This page can be closed.";
  const offline = "The labels lie in this browser. Download them, then take them into the store:";
  byId("advice").textContent = review.live ? live : offline;
};

const choose = (choice) => {
  if (place >= items.length) return;
  const { pair_id, first_id, second_id } = items[place];
  const label = {
    reviewed: review.reviewed, pair_id, first_id, second_id, choice,
    person: review.by, labelled_at: new Date().toISOString(),
    seconds: Math.round(seconds() * 10) / 10, note: note.value.trim() || null,
  };
  labels[idOf(items[place])] = label;
  keep();
  send(label);
  show(next(place + 1));
};

// Live: each label goes to the server at once, and again until the server has it.
const waiting = [];
let sending = false;
const send = async (label) => {
  if (!review.live) return;
  waiting.push(label);
  tell("");
  if (sending) return;
  sending = true;
  while (waiting.length) {
    try {
      const answer = await fetch(review.live, {
        method: "POST",
        keepalive: true,
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(waiting[0]),
      });
      if (!answer.ok) throw new Error(await answer.text());
      waiting.shift();
      advise();
      tell(waiting.length ? "" : "saved");
    } catch (error) {
      tell(`${waiting.length} not saved yet: the server does not take them`, true);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  sending = false;
};
const tell = (text, bad = false) => {
  byId("saved").textContent = text;
  byId("saved").classList.toggle("bad", bad);
};
addEventListener("beforeunload", (event) => {
  if (waiting.length) event.preventDefault();
});

const download = () => {
  const lines = items.map((item) => labels[idOf(item)]).filter(Boolean);
  const text = lines.map((label) => `${JSON.stringify(label)}\n`).join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
  link.download = review.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  tell(`${lines.length} labels downloaded`);
};

const move = (by) => {
  const wanted = place + by;
  if (wanted < 0 || place >= items.length || (by > 0 && !labelOf(place))) return;
  show(wanted >= items.length ? next(0) : wanted);
};

const keys = {
  1: () => choose("first"),
  2: () => choose("second"),
  "=": () => choose("tie"),
  s: () => choose("skip"),
  n: () => note.focus(),
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
};
document.addEventListener("keydown", (event) => {
  if (event.target === note) {
    if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey && !event.isComposing)) {
      event.preventDefault();
      byId("item").focus({ preventScroll: true });
    }
    return;
  }
  // A key that is held down labels one pair, not sixty.
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || place >= items.length) return;
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});
for (const button of buttons) {
  button.addEventListener("click", () => choose(button.dataset.choice));
}
byId("back").addEventListener("click", () => move(-1));
byId("forward").addEventListener("click", () => move(1));
byId("download").addEventListener("click", download);
byId("download-end").addEventListener("click", download);
byId("again").addEventListener("click", () => show(0));
byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(review.command);
    tell("copied");
  } catch {
    getSelection().selectAllChildren(byId("command"));
  }
});

byId("dataset").textContent = review.dataset;
byId("by").textContent = `by ${review.by}`;
document.title = `Review of ${review.dataset}`;
show(next(0));
unsent.forEach(send);
document.documentElement.dataset.ready = "yes";
