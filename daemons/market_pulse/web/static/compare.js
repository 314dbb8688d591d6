// Symbols beside each other, as indices that are 100 at the first bar that all of them have; live from then on.
import { $, ask, color, price, rows, seconds } from "./format.js";
import { look } from "./chart.js";

const MOST = 6;
// What is on its way to the database is on the live channel alone.
const TAIL = 200;
const COLORS = { light: ["#0e5f78", "#b3361b", "#5b3fa0", "#8a5a00", "#0b7a55", "#9c2c6b"], dark: ["#6cc5e0", "#f0836a", "#b8a1f0", "#e0b04c", "#3fbf8f", "#ee8fc0"] };
const dark = matchMedia("(prefers-color-scheme: dark)");

export class Comparison {
  constructor(channel) {
    this.channel = channel;
    this.chosen = [];
    this.stops = [];
    this.lines = new Map();
    dark.addEventListener("change", () => this.restyle());
  }

  offer(symbols) {
    this.offered = symbols;
    this.chosen = this.chosen.filter((symbol) => symbols.includes(symbol));
    if (!this.chosen.length) this.chosen = symbols.slice(0, 3);
  }

  async show(interval) {
    if (!this.chart) this.chart = window.LightweightCharts.createChart($("compare-chart"), look());
    this.interval = interval;
    this.chart.timeScale().applyOptions({ timeVisible: interval !== "daily" });
    this.boxes();
    await this.load();
  }

  boxes() {
    const boxes = this.offered.slice(0, 40).map((symbol) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", value: symbol, checked: this.chosen.includes(symbol) });
      box.addEventListener("change", () => {
        this.chosen = box.checked ? [...this.chosen, symbol] : this.chosen.filter((other) => other !== symbol);
        for (const other of $("compared").querySelectorAll("input")) other.disabled = !other.checked && this.chosen.length >= MOST;
        this.load();
      });
      label.append(box, symbol);
      return label;
    });
    $("compared").replaceChildren($("compared").querySelector("legend"), ...boxes);
  }

  async load() {
    this.leave();
    const chosen = [...this.chosen];
    const query = chosen.map((symbol) => `symbol=${encodeURIComponent(symbol)}`).join("&");
    const lines = chosen.length ? await ask(`/api/comparison?${query}&interval=${this.interval}&limit=500`) : [];
    if (chosen.join() !== this.chosen.join()) return;
    for (const line of lines) {
      const drawn = this.chart.addSeries(window.LightweightCharts.LineSeries, { lineWidth: 2, title: line.symbol, priceLineVisible: false });
      const points = new Map(line.points.map((point) => [seconds(point), Number(point.index)]));
      drawn.setData([...points].sort((one, other) => one[0] - other[0]).map(([time, value]) => ({ time, value })));
      this.lines.set(line.symbol, { ...line, drawn, points, until: Math.max(...points.keys()) });
    }
    this.restyle();
    this.chart.timeScale().fitContent();
    for (const line of lines) this.stops.push(this.channel.follow(line.symbol, this.interval, TAIL, (bars) => this.take(line.symbol, bars)));
  }

  take(symbol, bars) {
    const line = this.lines.get(symbol);
    for (const bar of line ? bars : []) {
      const [time, value] = [seconds(bar), (100 * bar.close) / line.base];
      if (time < line.until) continue;
      line.drawn.update({ time, value });
      Object.assign(line, { until: time, close: bar.close, index: value });
    }
    this.tell();
  }

  tell() {
    const named = (line) => {
      const name = document.createElement("span");
      const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
      swatch.style.background = line.color;
      name.append(swatch, line.symbol);
      return name;
    };
    const shown = [...this.lines.values()].map((line) => [
      named(line), price(line.base), line.close ? price(line.close) : "", (line.index ?? Number(line.points.get(line.until))).toFixed(2),
    ]);
    rows($("compare-rows"), shown, "Choose symbols that have bars at the same times.");
  }

  restyle() {
    if (!this.chart) return;
    this.chart.applyOptions(look());
    const colors = COLORS[dark.matches ? "dark" : "light"];
    [...this.lines.values()].forEach((line, at) => {
      line.color = colors[at % colors.length];
      line.drawn.applyOptions({ color: line.color });
    });
    this.tell();
  }

  leave() {
    for (const stop of this.stops) stop();
    for (const line of this.lines.values()) this.chart.removeSeries(line.drawn);
    this.stops = [];
    this.lines.clear();
  }
}
