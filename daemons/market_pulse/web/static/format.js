// How numbers and times are written. Times come from the server as the exchange's clock shows them.
export const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const number = (value) => whole.format(value);
export const price = (text) => {
  const value = Number(text);
  return value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: value < 10 ? 4 : 2 });
};
// Seconds that the chart takes for UTC: shifted, so that it draws the exchange's clock and breaks days where that does.
export const seconds = (bar) => Date.parse(`${bar.local_time.slice(0, 19)}Z`) / 1000;
export const clock = (bar, interval) =>
  interval === "daily" ? bar.local_time.slice(0, 10) : bar.local_time.slice(0, 16).replace("T", " ");
export const percent = (now, before) => {
  const share = (Number(now) / Number(before) - 1) * 100;
  return { text: `${share < 0 ? "\u2212" : "+"}${Math.abs(share).toFixed(2)}%`, kind: share < 0 ? "down" : "up" };
};
export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A row of a table, whose cells are of the kind that its head says.
function cells(heads, values) {
  const row = document.createElement("tr");
  row.replaceChildren(...values.map((value, at) => {
    const cell = document.createElement("td");
    if (heads[at]?.className) cell.className = heads[at].className;
    if (value instanceof Node) cell.append(value);
    else cell.textContent = value;
    return cell;
  }));
  return row;
}
export const rows = (body, lines, none) => {
  const heads = body.closest("table").querySelectorAll("th");
  if (!lines.length) {
    const row = cells(heads, [none]);
    row.firstChild.colSpan = heads.length;
    row.firstChild.className = "quiet";
    body.replaceChildren(row);
  } else body.replaceChildren(...lines.map((line) => cells(heads, line)));
};
export async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(typeof said.detail === "string" ? said.detail : `${path}: ${answer.status}`);
  }
  return answer.json();
}
