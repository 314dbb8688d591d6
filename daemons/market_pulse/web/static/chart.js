// The chart of one series: candles and volume, drawn by Lightweight Charts out of the live channel's bars.
import { $, ask, clock, color, number, percent, price, rows, seconds } from "./format.js";

const MORE = 500;
const SHOWN_ROWS = 30;
// So that each is wide enough to have a body.
const BAR_PIXELS = 6;

// The creator of the charts stands at the foot of the page instead of in each chart, where a link would be in a picture.
export const look = () => ({
  autoSize: true,
  layout: { background: { color: color("sheet") }, textColor: color("quiet"), fontSize: 12, fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: false, panes: { separatorColor: color("line") } },
  grid: { vertLines: { color: color("grid") }, horzLines: { color: color("grid") } },
  rightPriceScale: { borderColor: color("line") },
  timeScale: { borderColor: color("line"), timeVisible: true, secondsVisible: false, rightOffset: 3 },
  crosshair: { mode: 0 },
});

export class Chart {
  constructor(channel) {
    this.channel = channel;
    this.older = [];
    this.bars = [];
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.restyle());
  }

  show(symbol, interval, quote) {
    this.quote = quote;
    if (this.symbol === symbol && this.interval === interval) return;
    this.make();
    this.stop?.();
    Object.assign(this, { symbol, interval, older: [], bars: [], moved: false, fitted: 0, exhausted: false });
    this.draw();
    $("symbol").textContent = symbol;
    $("chart").setAttribute("aria-label", `Candles of ${symbol}, ${interval}`);
    this.chart.timeScale().applyOptions({ timeVisible: interval !== "daily" });
    this.stop = this.channel.follow(symbol, interval, MORE, (bars, place) => this.take(bars, place));
  }

  make() {
    if (this.chart) return;
    const library = window.LightweightCharts;
    this.chart = library.createChart($("chart"), look());
    this.candles = this.chart.addSeries(library.CandlestickSeries, {});
    this.volume = this.chart.addSeries(library.HistogramSeries, { priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false }, 1);
    this.chart.panes()[0].setStretchFactor(4);
    this.chart.panes()[1].setStretchFactor(1);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => { if (range && range.from < 10) this.more(); });
    this.chart.subscribeCrosshairMove((at) => this.legend(at.time === undefined ? null : this.byTime.get(at.time)));
    for (const move of ["wheel", "pointerdown"]) $("chart").addEventListener(move, () => { this.moved = true; }, { passive: true });
    this.restyle();
  }

  shownBars() { return Math.max(40, Math.floor($("chart").clientWidth / BAR_PIXELS)); }

  restyle() {
    if (!this.chart) return;
    this.chart.applyOptions(look());
    const [up, down] = [color("up"), color("down")];
    this.candles.applyOptions({ upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down });
    this.volume.applyOptions({ color: color("volume") });
    this.draw();
  }

  // A bar that still forms is drawn hollow: its numbers are not the last word.
  candle(bar) {
    const candle = { time: seconds(bar), open: +bar.open, high: +bar.high, low: +bar.low, close: +bar.close };
    return bar.is_final ? candle : { ...candle, color: color("sheet") };
  }

  take(bars, place) {
    const first = bars[0]?.bar_time;
    this.older = this.older.filter((bar) => first === undefined || bar.bar_time < first);
    this.bars = bars;
    if (place === -1) return;
    const bar = bars[place];
    const isLast = place !== null && place === bars.length - 1 && this.drawn && seconds(bar) >= this.drawn;
    if (isLast) {
      this.candles.update(this.candle(bar));
      this.volume.update({ time: seconds(bar), value: bar.volume });
      this.byTime.set(seconds(bar), bar);
      this.drawn = seconds(bar);
      this.tell();
    } else this.draw();
  }

  draw() {
    if (!this.chart) return;
    // By the exchange's clock, which shows one hour of the year twice: the later one stands.
    this.byTime = new Map([...this.older, ...this.bars].map((bar) => [seconds(bar), bar]));
    const shown = [...this.byTime.values()].sort((one, other) => seconds(one) - seconds(other));
    this.candles.setData(shown.map((bar) => this.candle(bar)));
    this.volume.setData(shown.map((bar) => ({ time: seconds(bar), value: bar.volume })));
    this.drawn = shown.length ? seconds(shown.at(-1)) : undefined;
    // What came first may have been a part: the watch list's single bar, or the first of a session.
    if (shown.length > this.fitted && this.fitted < this.shownBars() && !this.moved) {
      this.fitted = shown.length;
      this.chart.timeScale().setVisibleLogicalRange({ from: Math.max(-1, shown.length - this.shownBars()), to: shown.length + 3 });
    }
    this.tell();
  }

  tell() {
    const bar = this.bars.at(-1);
    this.legend(null);
    $("chart").dataset.bars = this.byTime.size;
    $("chart").dataset.last = bar ? bar.bar_time : "";
    if (!bar) {
      for (const id of ["last", "change"]) $(id).textContent = "";
      $("since").hidden = true;
      $("summary").textContent = "No bar of this series is stored.";
      rows($("rows"), [], "No bars.");
      return;
    }
    $("last").textContent = price(bar.close);
    const change = this.quote?.previous_close ? percent(bar.close, this.quote.previous_close) : null;
    $("change").textContent = change?.text ?? "";
    $("since").hidden = !change;
    $("change").className = `change ${change?.kind ?? ""}`;
    const newest = this.bars.slice(-SHOWN_ROWS).reverse();
    $("summary").textContent = `Newest bar ${clock(bar, this.interval)}${bar.is_final ? "" : ", still forming"}. Volume ${number(bar.volume)}.`;
    rows($("rows"), newest.map((one) => [clock(one, this.interval), price(one.open), price(one.high), price(one.low), price(one.close), number(one.volume), one.is_final ? "final" : "forming"]), "No bars.");
  }

  legend(bar) {
    const shown = bar ?? this.bars.at(-1);
    $("legend").textContent = shown
      ? `${clock(shown, this.interval)}   O\u00a0${price(shown.open)}   H\u00a0${price(shown.high)}   L\u00a0${price(shown.low)}   C\u00a0${price(shown.close)}   V\u00a0${number(shown.volume)}`
      : "\u00a0";
  }

  async more() {
    const first = this.older[0] ?? this.bars[0];
    if (!first || this.asking || this.exhausted) return;
    this.asking = true;
    const { symbol, interval } = this;
    try {
      const path = `/api/bars/${encodeURIComponent(symbol)}?interval=${interval}&before=${first.bar_time}&limit=${MORE}`;
      const { bars } = await ask(path);
      if (symbol !== this.symbol || interval !== this.interval) return;
      this.exhausted = bars.length === 0;
      this.older = [...bars, ...this.older];
      if (bars.length) this.draw();
    } finally { this.asking = false; }
  }
}
