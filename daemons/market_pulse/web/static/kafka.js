// The Kafka page: asks every few seconds, and shows what the operator has chosen.
import { $, ask, number, rows } from "./format.js";

const AGAIN_MS = 5000;
let overview;
let shown;

const text = (value, name = "shown") => Object.assign(document.createElement("span"), { textContent: value, className: name });
const chosen = () => decodeURIComponent(location.hash.slice(1)) || overview?.bars;
const most = (items) => items.reduce((largest, item) => Math.max(largest, item.records ?? 0), 0);
const sum = (items) => items.reduce((all, item) => all + (item.records ?? 0), 0);

function readers() {
  const { consumer, bars, database, cluster } = overview;
  const state = database ? "not known" : consumer.length ? "in the database" : "nothing stored";
  const lines = [["Spark consumer", bars, state, consumer.length, database ? "not known" : number(sum(consumer)), database ? "not known" : number(most(consumer))]];
  for (const group of cluster.groups) {
    for (const topic of new Set(group.offsets.map((item) => item.topic))) {
      const items = group.offsets.filter((item) => item.topic === topic);
      lines.push([`group ${group.name}`, topic, `${group.state.toLowerCase()}, ${group.members} members`, items.length, number(sum(items)), number(most(items))]);
    }
    if (!group.offsets.length) lines.push([`group ${group.name}`, "", group.state.toLowerCase(), 0, "", ""]);
  }
  rows($("readers"), lines, "Nobody reads.");
  if (database) throw new Error(database);
}

function topics() {
  rows($("topics"), overview.cluster.topics.map((topic) => {
    const link = Object.assign(document.createElement("a"), { href: `#${encodeURIComponent(topic.name)}`, textContent: topic.name });
    if (topic.name === chosen()) link.setAttribute("aria-current", "true");
    const held = topic.partitions.reduce((all, item) => all + item.end - item.beginning, 0);
    const lacking = topic.partitions.filter((item) => item.in_sync.length < item.replicas.length).length;
    return [link, topic.partitions.length, topic.partitions[0]?.replicas.length ?? 0, lacking, number(held), topic.is_internal ? "Kafka's own" : topic.name === overview.bars ? "the bars" : ""];
  }), "There are no topics.");
}

function partitions(topic) {
  const stored = new Map((topic.name === overview.bars ? overview.consumer : []).map((item) => [item.partition, item]));
  rows($("partitions"), topic.partitions.map((item) => {
    const lag = stored.get(item.partition);
    return [item.partition, item.beginning, item.end, lag?.next_offset ?? "", lag?.records === undefined || lag?.records === null ? "" : number(lag.records), item.leader, item.replicas.join(", "), item.in_sync.join(", ")];
  }), "There are none.");
}

async function settings(name) {
  const found = await ask(`/api/topics/${encodeURIComponent(name)}/configuration`);
  const order = [...found].sort((one, other) => Number(other.is_own) - Number(one.is_own));
  rows($("settings"), order.map((item) => [text(item.name), text(item.value ?? ""), item.is_own ? "this topic" : "default"]), "There is none.");
}

async function records() {
  const from = $("offset").value.trim();
  const query = `limit=${$("limit").value || 20}${from ? `&offset=${from}` : ""}`;
  $("records-note").textContent = "asking";
  try {
    const found = await ask(`/api/topics/${encodeURIComponent(shown)}/partitions/${$("partition").value || 0}/records?${query}`);
    rows($("records"), found.map((item) => [item.offset, item.appended_at.slice(0, 19).replace("T", " "), item.key ?? "", item.kind, item.bytes, text(item.shown)]), "No record is there.");
    $("records-note").textContent = `${found.length} records. Nothing is committed by looking.`;
  } catch (error) {
    rows($("records"), [], "No record is shown.");
    $("records-note").textContent = error.message;
  }
}

async function topic() {
  const found = overview.cluster.topics.find((one) => one.name === chosen());
  $("topic").hidden = !found;
  if (!found) return;
  partitions(found);
  if (found.name === shown) return;
  shown = found.name;
  $("topic-title").textContent = found.name;
  $("topic-id").textContent = `id ${found.id}`;
  $("partition").replaceChildren(...found.partitions.map((item) => new Option(item.partition, item.partition)));
  const newest = found.partitions.reduce((best, item) => (item.end > best.end ? item : best), found.partitions[0]);
  $("partition").value = newest?.partition ?? 0;
  $("offset").value = "";
  await Promise.all([settings(found.name), records()]);
}

async function look() {
  try {
    overview = await ask("/api/cluster");
    const brokers = Object.entries(overview.cluster.brokers).map(([id, address]) => `${id} at ${address}`);
    $("cluster").textContent = `brokers: ${brokers.join(", ")}`;
    topics();
    await topic();
    readers();
    $("trouble").hidden = true;
    $("channel").dataset.state = "live";
    if ($("channel").textContent !== "answers") $("channel").textContent = "answers";
  } catch (error) {
    $("trouble").textContent = error.message;
    $("trouble").hidden = false;
    $("channel").dataset.state = "away";
    $("channel").textContent = "no answer";
  }
}

$("choose").addEventListener("submit", (event) => { event.preventDefault(); records(); });
addEventListener("hashchange", look);
const again = () => look().finally(() => setTimeout(again, AGAIN_MS));
again();
