// Draws the charts and filters the pairs. All that a model wrote arrives as JSON or as text.
"use strict";

const { theme, panels } = JSON.parse(document.getElementById("panels").textContent);

// `ast` interprets expressions instead of compiling them: the page forbids itself to evaluate code.
const options = {
  actions: false,
  ast: true,
  defaultStyle: false,
  renderer: "svg",
  tooltip: { disableDefaultStyle: true },
};

const draw = async ({ id, chart }) => {
  const place = document.getElementById(id);
  try {
    await vegaEmbed(place, { ...chart, config: theme }, options);
    place.dataset.drawn = "yes";
  } catch (error) {
    place.textContent = `This chart could not be drawn: ${error.message}`;
    throw error;
  }
};

Promise.allSettled(panels.map(draw)).then(() => {
  document.documentElement.dataset.ready = "yes";
});

const buttons = [...document.querySelectorAll("[data-filter]")];
const cards = [...document.querySelectorAll("[data-card]")];
const chosen = {};

const show = () => {
  for (const card of cards) {
    card.hidden = Object.entries(chosen).some(([filter, value]) => card.dataset[filter] !== value);
  }
  for (const button of buttons) {
    const { filter, value } = button.dataset;
    button.setAttribute("aria-pressed", String(chosen[filter] === value));
  }
};

for (const button of buttons) {
  const { filter, value } = button.dataset;
  chosen[filter] ??= value;
  button.addEventListener("click", () => {
    chosen[filter] = value;
    show();
  });
}
show();
