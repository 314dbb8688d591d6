// The page: which part is shown, the watch list, and the market's clock.
import { Channel } from "./live.js";
import { Chart } from "./chart.js";
import { Comparison } from "./compare.js";
import { tell } from "./feed.js";
import { $, ask, percent, price } from "./format.js";

const MOST_WATCHED = 40;
const FIRST_WATCHED = 12;
const FEED_MS = 5000;
const CLOCK_MS = 10000;

const quotes = new Map();
const watched = new Map();
let about;
let interval;
let timer;

const channel = new Channel((state, text) => {
  $("channel").dataset.state = state;
  if ($("channel").textContent !== text) $("channel").textContent = text;
});
const chart = new Chart(channel);
const comparison = new Comparison(channel);

const kept = () => {
  try { return JSON.parse(localStorage.getItem("watched")) ?? []; } catch { return []; }
};
const keep = () => localStorage.setItem("watched", JSON.stringify([...watched.keys()]));

function watch(symbol) {
  const item = document.createElement("li");
  const link = Object.assign(document.createElement("a"), { href: `#chart/${symbol}` });
  const parts = ["", "", ""].map(() => document.createElement("span"));
  parts[0].textContent = symbol;
  const remove = Object.assign(document.createElement("button"), { className: "remove", type: "button", textContent: "\u00d7" });
  remove.setAttribute("aria-label", `Take ${symbol} off the watch list`);
  remove.addEventListener("click", () => {
    watched.get(symbol).stop();
    watched.delete(symbol);
    item.remove();
    keep();
    comparison.offer([...watched.keys()]);
    $("watch-note").textContent = `${symbol} is off the list.`;
  });
  link.append(...parts);
  item.append(link, remove);
  $("watch").append(item);
  const stop = channel.follow(symbol, about.interval, 1, (bars) => {
    const bar = bars.at(-1);
    if (!bar) return;
    parts[1].textContent = price(bar.close);
    const before = quotes.get(symbol)?.previous_close;
    const change = before ? percent(bar.close, before) : { text: "", kind: "" };
    parts[2].textContent = change.text;
    parts[2].className = change.kind;
  });
  watched.set(symbol, { link, stop });
}

async function add(event) {
  event.preventDefault();
  const symbol = $("wanted").value.trim().toUpperCase();
  if (!symbol || watched.has(symbol)) return;
  if (watched.size >= MOST_WATCHED) { $("watch-note").textContent = `The list has ${MOST_WATCHED} symbols, and no more fit.`; return; }
  if (!quotes.has(symbol)) { $("watch-note").textContent = `${symbol} has no bars here.`; return; }
  watch(symbol);
  keep();
  comparison.offer([...watched.keys()]);
  $("wanted").value = "";
  $("watch-note").textContent = `${symbol} is on the list.`;
  mark();
}

function place() {
  const [page, symbol] = location.hash.slice(1).split("/");
  const first = watched.keys().next().value;
  return { page: ["compare", "feed"].includes(page) ? page : "chart", symbol: decodeURIComponent(symbol ?? "") || chart.symbol || first };
}

function mark() {
  const { page, symbol } = place();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const [name, { link }] of watched) {
    if (page === "chart" && name === symbol) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

async function show() {
  const { page, symbol } = place();
  for (const name of ["chart", "compare", "feed"]) $(`page-${name}`).hidden = name !== page;
  mark();
  clearInterval(timer);
  if (page !== "compare") comparison.leave();
  if (page === "chart") {
    document.title = symbol ? `${symbol} \u00b7 market-pulse` : "market-pulse";
    if (symbol) chart.show(symbol, interval, quotes.get(symbol));
    else $("summary").textContent = "No bar is stored yet; the page shows them as they come.";
  } else if (page === "compare") {
    document.title = "Comparison \u00b7 market-pulse";
    await tried(() => comparison.show(interval));
  } else {
    document.title = "Feed \u00b7 market-pulse";
    await tried(tell);
    timer = setInterval(() => tried(tell), FEED_MS);
  }
}

async function tried(act) {
  try {
    await act();
    $("trouble").hidden = true;
  } catch (error) {
    $("trouble").textContent = error.message;
    $("trouble").hidden = false;
  }
}

async function tick() {
  about = await ask("/api/about");
  const local = new Intl.DateTimeFormat("en-GB", { timeZone: about.zone, weekday: "short", hour: "2-digit", minute: "2-digit" });
  $("exchange").textContent = about.exchange_name;
  $("clock").textContent = local.format(new Date(about.market.now));
  $("session").textContent = about.market.is_open ? "open" : "closed";
}

async function load() {
  for (const quote of await ask("/api/quotes?limit=1000")) if (quote.interval === about.interval) quotes.set(quote.symbol, quote);
  $("symbols").replaceChildren(...[...quotes.keys()].map((symbol) => Object.assign(document.createElement("option"), { value: symbol })));
  const wanted = kept().filter((symbol) => quotes.has(symbol));
  for (const symbol of wanted.length ? wanted : [...quotes.keys()].slice(0, FIRST_WATCHED)) if (!watched.has(symbol)) watch(symbol);
  comparison.offer([...watched.keys()]);
}

async function start() {
  await tick();
  interval = about.interval;
  $("interval").replaceChildren(...about.intervals.map((name) => new Option(name, name, false, name === interval)));
  $("interval").addEventListener("change", () => { interval = $("interval").value; show(); });
  $("add").addEventListener("submit", add);
  addEventListener("hashchange", () => { show(); });
  await load();
  await show();
  setInterval(() => tried(async () => {
    await tick();
    if (!watched.size) { await load(); await show(); }
  }), CLOCK_MS);
}

const begin = () => tried(start).then(() => { if (!about) setTimeout(begin, 2000); });
begin();
