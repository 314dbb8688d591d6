// The live channel: subscribes, follows, and after any break goes on where it was, by stream and sequence.
const SILENCE_MS = 12000;
const PING_MS = 10000;
const FIRST_PAUSE_MS = 300;
const LAST_PAUSE_MS = 5000;
const ASK_AGAIN_MS = 5000;
const MOST_BARS = 10000;

const key = (symbol, interval) => `${symbol} ${interval}`;

// The bars of one series, oldest first. A bar that is told again replaces the one before, unless that was fetched later.
export class Bars {
  // The bars of a snapshot, after older ones that were known before, where both meet.
  constructor(known, bars) {
    const first = bars[0]?.bar_time;
    const meet = known.some((bar) => bar.bar_time === first);
    this.list = meet ? [...known.filter((bar) => bar.bar_time < first), ...bars] : bars;
  }

  put(bar) {
    const list = this.list;
    let at = list.length;
    while (at > 0 && list[at - 1].bar_time > bar.bar_time) at -= 1;
    const known = list[at - 1];
    if (known && known.bar_time === bar.bar_time) {
      if (known.fetched_at > bar.fetched_at) return -1;
      list[at - 1] = bar;
      return at - 1;
    }
    list.splice(at, 0, bar);
    if (list.length <= MOST_BARS) return at;
    list.shift();
    return at - 1;
  }
}

export class Channel {
  constructor(onState) {
    this.series = new Map();
    this.onState = onState;
    this.pause = FIRST_PAUSE_MS;
    this.open();
    setInterval(() => this.look(), PING_MS);
    addEventListener("online", () => this.socket?.close());
  }

  // Follows a series; `told` is called with its bars, and with the place of the one that changed, or null for all.
  follow(symbol, interval, count, told) {
    const name = key(symbol, interval);
    const known = this.series.get(name);
    if (known && known.count >= count) {
      known.listeners.add(told);
      if (known.bars) told(known.bars.list, null);
    } else {
      const listeners = known ? known.listeners : new Set();
      listeners.add(told);
      this.series.set(name, { symbol, interval, count, bars: null, listeners, stream: null, sequence: null });
      this.ask(this.series.get(name));
    }
    return () => this.leave(name, told);
  }

  leave(name, told) {
    const series = this.series.get(name);
    if (!series) return;
    series.listeners.delete(told);
    if (series.listeners.size) return;
    this.series.delete(name);
    this.send({ type: "unsubscribe", symbol: series.symbol, interval: series.interval });
  }

  ask(series) {
    series.isAnswered = false;
    const wish = { type: "subscribe", symbol: series.symbol, interval: series.interval, bars: series.count };
    if (series.bars && series.stream) Object.assign(wish, { stream: series.stream, after: series.sequence });
    this.send(wish);
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  open() {
    this.onState("connecting", "connecting");
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    this.socket = socket;
    this.heard = performance.now();
    socket.onopen = () => {
      this.pause = FIRST_PAUSE_MS;
      this.heard = performance.now();
      this.onState("live", "live");
      for (const series of this.series.values()) this.ask(series);
    };
    socket.onmessage = (event) => {
      this.heard = performance.now();
      this.take(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      this.onState("away", event.reason ? `reconnecting: ${event.reason}` : "reconnecting");
      setTimeout(() => this.open(), this.pause * (0.7 + Math.random() * 0.6));
      this.pause = Math.min(this.pause * 2, LAST_PAUSE_MS);
    };
  }

  // A network that has gone tells nobody; so what stays silent for too long is opened anew.
  look() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (performance.now() - this.heard > PING_MS + SILENCE_MS) {
      const silent = this.socket;
      silent.close();
      silent.onclose({ reason: "no answer" });
      silent.onclose = null;
    } else this.send({ type: "ping" });
  }

  take(message) {
    if (message.type === "problem") {
      this.onState("live", message.reason);
      if (message.is_passing) this.retry ??= setTimeout(() => this.askUnanswered(), ASK_AGAIN_MS);
      return;
    }
    const series = this.series.get(key(message.symbol, message.interval));
    if (!series) return;
    let place = null;
    if (message.type === "snapshot") {
      series.bars = new Bars(series.bars?.list ?? [], message.bars);
      if (!message.complete) setTimeout(() => this.again(series), ASK_AGAIN_MS);
    } else if (!series.bars) return;
    else if (message.type === "resumed") for (const bar of message.bars) series.bars.put(bar);
    else if (message.type === "bar") place = series.bars.put(message.bar);
    if (message.type !== "bar" && !series.isAnswered) {
      series.isAnswered = true;
      if ([...this.series.values()].every((one) => one.isAnswered)) this.onState("live", "live");
    }
    series.stream = message.stream;
    series.sequence = message.sequence;
    for (const told of series.listeners) told(series.bars.list, place);
  }

  askUnanswered() {
    this.retry = null;
    for (const series of this.series.values()) if (!series.isAnswered) this.ask(series);
  }

  again(series) {
    if (this.series.get(key(series.symbol, series.interval)) !== series) return;
    series.stream = null;
    this.ask(series);
  }
}
