// Draws each series of a page with Chart.js, and keeps it and its table up to date. Without either, the table is there.
"use strict";

const REFRESH_MS = 60_000;
const COLORS = {
  VALID: "#16a34a", p50: "#2563eb", p99: "#dc2626", AUTH_001: "#94a3b8", AUTH_002: "#d97706", AUTH_003: "#9333ea",
  AUTH_004: "#dc2626", AUTH_005: "#475569", AUTH_006: "#ca8a04", AUTH_007: "#be185d", AUTH_008: "#0891b2",
};

function datasets(series, isStacked) {
  return series.lines.map((line) => ({
    label: line.name,
    data: line.numbers,
    backgroundColor: COLORS[line.code],
    borderColor: COLORS[line.code],
    stack: isStacked ? "all" : undefined,
  }));
}

function cell(name, scope, text) {
  const element = document.createElement(name);
  if (scope) element.scope = scope;
  element.textContent = text;
  return element;
}

function fillTable(table, series) {
  const head = table.tHead.rows[0];
  head.replaceChildren(head.cells[0], ...series.lines.map((line) => cell("th", "col", line.name)));
  table.tBodies[0].replaceChildren(...series.labels.map((label, index) => {
    const row = document.createElement("tr");
    const numbers = series.lines.map((line) => line.numbers[index]);
    row.append(cell("th", "row", label));
    row.append(...numbers.map((number) => cell("td", "", number === null ? "–" : number.toLocaleString())));
    return row;
  }));
}

async function show(figure) {
  const response = await fetch(figure.dataset.series, { headers: { Accept: "application/json" } });
  if (!response.ok || response.redirected) return;
  const series = await response.json();
  const isStacked = figure.dataset.kind === "bar";
  fillTable(figure.querySelector("table"), series);
  if (!window.Chart) return;
  if (figure.chart) {
    figure.chart.data = { labels: series.labels, datasets: datasets(series, isStacked) };
    figure.chart.update("none");
    return;
  }
  const { color, borderColor } = colors(figure);
  figure.querySelector(".series-canvas").hidden = false;
  figure.chart = new window.Chart(figure.querySelector("canvas"), {
    type: figure.dataset.kind,
    data: { labels: series.labels, datasets: datasets(series, isStacked) },
    options: {
      animation: false,
      maintainAspectRatio: false,
      spanGaps: true,
      color,
      scales: {
        x: { stacked: isStacked, ticks: { color }, grid: { color: borderColor } },
        y: {
          stacked: isStacked,
          beginAtZero: true,
          ticks: { color, precision: isStacked ? 0 : undefined },
          grid: { color: borderColor },
        },
      },
    },
  });
}

// The colors of the figure's texts and lines, which the theme decides.
function colors(figure) {
  return {
    color: getComputedStyle(figure.querySelector("summary")).color,
    borderColor: getComputedStyle(figure).getPropertyValue("--line"),
  };
}

function recolor(figure) {
  const { color, borderColor } = colors(figure);
  const { options } = figure.chart;
  options.color = color;
  for (const scale of Object.values(options.scales)) {
    scale.ticks.color = color;
    scale.grid.color = borderColor;
  }
  figure.chart.update("none");
}

function showAll() {
  for (const figure of document.querySelectorAll("figure[data-series]")) {
    show(figure).catch(() => {}); // the numbers from before stay, and the next time may do
  }
}

// People choose light or dark while the page is open.
new MutationObserver(() => {
  for (const figure of document.querySelectorAll("figure[data-series]")) {
    if (figure.chart) recolor(figure);
  }
}).observe(document.documentElement, { attributeFilter: ["class"] });

showAll();
setInterval(() => { if (!document.hidden) showAll(); }, REFRESH_MS);
