// Plays scripted worlds to probity.wasm and prints what the engine asked and found
// out: `node transcript.mjs probity.wasm scripts.json`. The crate of
// `tests/transcript` says what a script and a transcript are; this is the same
// world again, so that what differs is seen.
import { readFileSync } from "node:fs";
import { Probity, ProbityError } from "./probity.mjs";

const BAD_RESULTS_OF_A_SCRIPT = [-5, -7, -8]; // a target is refused: argument, module, full
const NO_TARGET = -9;

const escaped = (bytes) => {
  let text = "";
  for (const byte of bytes) {
    if (byte === 10) text += "\\n";
    else if (byte === 13) text += "\\r";
    else if (byte === 92) text += "\\\\";
    else if (byte >= 32 && byte <= 126) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return text;
};
const plain = (text) => escaped(new TextEncoder().encode(text));
const hex = (number) => number.toString(16).padStart(16, "0");
const nth = (list, index) => (list ? list[Math.min(index, list.length - 1)] : undefined);

const ipText = ({ family, ip }) => {
  if (family === 4) return ip.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ((ip[2 * i] << 8) | ip[2 * i + 1]).toString(16).padStart(4, "0"));
  return `[${groups.join(":")}]`;
};
const addressText = (address) => `${ipText(address)}:${address.port}`;

// The 4 or 16 bytes of an address in text; `::` may stand for zeros.
const ipOf = (text) => {
  if (!text.includes(":")) return { family: 4, ip: Uint8Array.from(text.split("."), Number) };
  const [head, tail = ""] = text.split("::"), part = (it) => (it ? it.split(":") : []);
  const [before, after] = [part(head), part(tail)];
  const groups = [...before, ...Array(8 - before.length - after.length).fill("0"), ...after];
  return { family: 6, ip: Uint8Array.from(groups.flatMap((it) => [parseInt(it, 16) >> 8, parseInt(it, 16) & 255])) };
};
const peerKey = (text) => {
  const cut = text.lastIndexOf(":");
  const ip = text.slice(0, cut).replace(/[[\]]/g, "");
  return addressText({ ...ipOf(ip), port: Number(text.slice(cut + 1)) });
};

const number = (value) => {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 53) return BigInt(value).toString();
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  return hex(bits.getBigUint64(0));
};
const tlsOf = (tls) =>
  tls && {
    ...tls, earliestExpiry: tls.earliest_expiry, chainExpiry: tls.chain_expiry,
    fingerprintSha256: tls.fingerprint_sha256, subjectAlternative: tls.subject_alternative,
  };
const tlsText = (tls) => {
  const texts = ["version", "cipher", "alpn", "fingerprintSha256", "subject", "issuer", "subjectAlternative", "serial"];
  return `tls ${tls.earliestExpiry} ${tls.chainExpiry} ${texts.map((it) => plain(tls[it])).join("|")}`;
};
const reportText = (it) => {
  let text = `target=${hex(it.target)} outcome=${it.outcome} reason=${it.reason} phase=${it.phase}` +
    ` transition=${it.transition} runs=${it.runs} due=${it.due} started=${it.started}` +
    ` finished=${it.finished} total=${it.total} phases=${it.phases.map((spent) => spent ?? "-").join(",")}`;
  if (it.address) text += ` address=${addressText(it.address)}`;
  text += ` detail=${plain(it.detail)}`;
  if (it.tls) text += `\n  ${tlsText(it.tls)}`;
  for (const { name, label, labelValue, value } of it.facts) {
    text += `\n  ${name}${label ? `{${label}=${plain(labelValue)}}` : ""} ${number(value)}`;
  }
  return text;
};
const askedText = (it) => {
  switch (it.kind) {
    case "resolve": return `resolve ${it.families} ${plain(it.name)}`;
    case "open": return `open ${it.conn} ${it.transport} ${addressText(it.address)}${it.source ? ` from ${ipText(it.source)}` : ""}`;
    case "secure": {
      const { serverName, alpn, skipVerify, minVersion, maxVersion } = it.tls;
      return `secure ${it.conn} ${plain(serverName)} alpn=${plain(alpn.join(","))}` +
        ` skip_verify=${skipVerify} versions=${minVersion},${maxVersion}`;
    }
    case "send": return `send ${it.conn} ${escaped(it.bytes)}`;
    case "flush": return `flush ${it.conn}`;
    case "close": return `close ${it.conn}`;
    case "report": return `report ${reportText(it.report)}`;
  }
};

// Happenings in order of time and, at the same time, of causes: a binary heap.
class Queue {
  items = [];
  caused = 0;
  static before = (a, b) => a.at < b.at || (a.at === b.at && a.number < b.number);
  push(at, what) {
    const { items } = this, item = { at, number: this.caused++, what };
    let index = items.push(item) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!Queue.before(item, items[parent])) break;
      items[index] = items[parent];
      index = parent;
    }
    items[index] = item;
  }
  first() { return this.items.length ? this.items[0].at : null; }
  pop() {
    const { items } = this, top = items[0], last = items.pop();
    if (items.length === 0) return top.what;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && Queue.before(items[child + 1], items[child])) child++;
      if (!Queue.before(items[child], last)) break;
      items[index] = items[child];
      index = child;
    }
    items[index] = last;
    return top.what;
  }
}

export function play(probity, script) {
  const seed = Uint8Array.from(script.seed.match(/../g), (it) => parseInt(it, 16));
  const config = probity.parse("script", script.config);
  const engine = probity.engine({
    seed, inFlight: script.in_flight, startsPerDestination: script.starts_per_destination,
    burstPerDestination: script.burst_per_destination,
  }, 0n);
  const peers = new Map(Object.entries(script.peers).map(([key, plans]) => [peerKey(key), plans]));
  const queue = new Queue(), lines = [], targets = [], runs = [];
  const asked = new Map(), dialled = new Map(), conns = new Map();
  const count = (map, key) => { map.set(key, (map.get(key) ?? 0) + 1); return map.get(key) - 1; };
  let now = 0n;
  const line = (text) => lines.push(`@${now} ${text}`);
  const wanted = (it) => ({
    config, module: it.module, target: it.target, hostname: it.hostname, interval: it.interval, timeout: it.timeout,
    initialDelay: it.initial_delay, successThreshold: it.success_threshold, failureThreshold: it.failure_threshold,
    kind: it.kind,
  });
  // The value of `call`, or undefined if the library refuses it with one of `results`.
  const tried = (results, call, refused) => {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof ProbityError && results.includes(error.result))) throw error;
      refused?.(error);
    }
  };
  const given = (what, call) => {
    const refused = (error) => line(`${what} refused: ${plain(error.result === -5 ? error.message : "")}`);
    const got = tried(BAD_RESULTS_OF_A_SCRIPT, call, refused);
    if (got !== undefined) line(`${what} ${hex(got)}`);
    return got;
  };
  const commands = {
    begin: () => engine.begin(now),
    drain: () => engine.drain(now),
    add: ({ target }) => targets.push(given("add", () => engine.add(wanted(target), now))),
    run: ({ target }) => runs.push(given("run", () => engine.run(wanted(target), now))),
    remove: (it) => known("remove", it.number),
    trigger: (it) => known("trigger", it.number),
    cancel: (it) => runs[it.number] !== undefined && engine.cancel(runs[it.number], now),
  };
  const known = (what, index) => {
    const call = () => { engine[what](targets[index], now); return true; };
    line(`${what} ${index} ${targets[index] !== undefined && (tried([NO_TARGET], call) ?? false)}`);
  };
  const events = (run, conn, list) => {
    for (const { after, ...what } of list ?? []) {
      queue.push(now + BigInt(after), () => {
        if ("opened" in what) engine.opened(run, conn, now);
        else if ("secured" in what) engine.secured(run, conn, tlsOf(what.secured), now);
        else if ("data" in what) engine.data(run, conn, Uint8Array.from(what.data, (it) => it.charCodeAt(0)), now);
        else engine.closed(run, conn, { ...what.closed, tls: tlsOf(what.closed.tls) }, now);
      });
    }
  };
  const react = (it) => {
    if (it.kind === "resolve") {
      const answer = nth(script.names[it.name], count(asked, it.name));
      if (!answer) return;
      queue.push(now + BigInt(answer.after), () => {
        if (answer.addresses.length === 0) engine.unresolved(it.run, answer.reason, now);
        else engine.resolved(it.run, answer.addresses.map(ipOf), now);
      });
    } else if (it.kind === "open") {
      const key = addressText(it.address), plan = nth(peers.get(key), count(dialled, key));
      if (!plan) return;
      conns.set(`${it.run}/${it.conn}`, { plan, sent: 0 });
      events(it.run, it.conn, plan.open);
    } else if (it.kind === "secure" || it.kind === "send") {
      const conn = conns.get(`${it.run}/${it.conn}`);
      if (!conn) return;
      events(it.run, it.conn, it.kind === "secure" ? conn.plan.secure : conn.plan.send[conn.sent++]);
    } else if (it.kind === "flush") {
      queue.push(now, () => engine.flushed(it.run, it.conn, now));
    }
  };
  const takeOutputs = () => {
    for (let it = engine.output(); it; it = engine.output()) {
      line(`${hex(it.run)} ${askedText(it)}`);
      react(it);
    }
  };

  const until = BigInt(script.until);
  for (const command of script.commands) queue.push(BigInt(command.at), () => commands[command.do](command));
  for (;;) {
    const first = queue.first(), timeout = engine.nextTimeout();
    if (first === null && timeout === null) break;
    const next = timeout === null || (first !== null && first < timeout) ? first : timeout;
    if (next > until) break;
    if (next > now) now = next;
    while (queue.first() !== null && queue.first() <= now) queue.pop()();
    const due = engine.nextTimeout();
    if (due !== null && due <= now) engine.handleTimeout(now);
    takeOutputs();
    line(`next ${engine.nextTimeout() ?? "never"}`);
  }
  now = until;
  engine.shutdown(now);
  takeOutputs();
  targets.forEach((id, index) => {
    const it = id === undefined ? undefined : tried([NO_TARGET], () => engine.target(id));
    line(`target ${index} ${it ? `health=${it.health} outcome=${it.outcome} reason=${it.reason} finished=${it.finished}` +
      ` total=${it.total} next=${it.next} results=${it.results.join(",")} detail=${plain(it.detail)}` : "gone"}`);
  });
  const it = engine.stats(now);
  line(`stats runs=${it.runs.join(",")} targets=${it.targets} overdue=${it.overdue} in_flight=${it.inFlight}` +
    ` queued=${it.queued} start_lag_p99=${it.startLagP99}`);
  engine.free();
  probity.freeConfig(config);
  return lines.join("\n") + "\n";
}

const [wasm, scripts] = process.argv.slice(2);
const probity = await Probity.load(readFileSync(wasm));
for (const script of JSON.parse(readFileSync(scripts, "utf8"))) process.stdout.write(play(probity, script) + "\0");
