// How the feed is: the sentence, its figures, what is complete, and what waits between Kafka and the database.
import { $, ask, number, rows } from "./format.js";

const WORDS = { well: "Well.", attention: "Needs attention.", down: "Down." };
const span = (value) => {
  if (value === null) return "none";
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} days`;
};
const instant = (text) => (text ? `${text.slice(0, 19).replace("T", " ")} UTC` : "none yet");

function figure(name, value) {
  const box = document.createElement("div");
  box.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
  return box;
}

export async function tell() {
  const health = await ask("/api/feed");
  const verdict = `${WORDS[health.state]} ${health.sentence}`;
  // What is the same is not said again by who reads the page aloud.
  if ($("verdict").textContent !== verdict) $("verdict").textContent = verdict;
  $("verdict").dataset.state = health.state;
  const behind = health.lag.reduce((sum, lag) => sum + (lag.records ?? 0), 0);
  $("figures").replaceChildren(
    figure("Newest bar", instant(health.newest_bar)), figure("Its age, market time", span(health.age_seconds)),
    figure("Last stored", instant(health.stored_at)), figure("Records to store", health.lag.length ? number(behind) : "not known"),
    figure("Series", number(health.series)), figure("Readers of this page", number(health.readers)),
  );
  rows($("completeness"), health.completeness.map((day) => [day.trading_date, day.interval, number(day.expected), number(day.stored), number(day.pending), number(day.missing)]), "The auditor has counted no session yet.");
  rows($("lag"), health.lag.map((lag) => [lag.partition, lag.next_offset ?? "nothing", lag.end ?? "not known", lag.records === null ? "not known" : number(lag.records)]), "Nothing of the topic is stored yet.");
  const findings = health.findings.length
    ? [Object.assign(document.createElement("h2"), { textContent: "What the auditor found" }), document.createElement("ul")] : [];
  findings[1]?.append(...health.findings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("findings").replaceChildren(...findings);
  return health;
}
