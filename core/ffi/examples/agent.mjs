// An agent in JavaScript: the engine in Wasm, sockets and clock of Node. Probes each
// target once with a module of a file, in the exporter's format, and prints what came
// of it.
//
//     core/ffi/build-wasm
//     node agent.mjs target/wasm/probity.wasm modules.yml http_2xx http://127.0.0.1:8080/
import { randomBytes } from "node:crypto";
import { lookup } from "node:dns";
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { Probity } from "./probity.mjs";

const [wasm, file, module, ...targets] = process.argv.slice(2);
const now = () => process.hrtime.bigint();
const probity = await Probity.load(readFileSync(wasm));
const config = probity.parse(file, readFileSync(file, "utf8"));
const engine = probity.engine({ seed: randomBytes(32) }, now());
engine.begin(now());

const running = new Map(targets.map((target) => [engine.run({ config, module, target }, now()), target]));
const sockets = new Map(); // by run and connection
let failed = 0;

// How a connection has ended, in the words of the engine.
const ENDS = {
  ECONNREFUSED: "refused", ECONNRESET: "reset", EPIPE: "reset", ECONNABORTED: "reset", ETIMEDOUT: "timed_out",
  EHOSTUNREACH: "unreachable", ENETUNREACH: "unreachable", EHOSTDOWN: "unreachable", ENETDOWN: "unreachable",
  EAFNOSUPPORT: "unreachable",
};
// Errors of this machine, which are no failure of the target.
const OURS = {
  EMFILE: "no_descriptors", ENFILE: "no_descriptors", EADDRNOTAVAIL: "no_source_port", EADDRINUSE: "no_source_port",
  ENOBUFS: "no_memory", ENOMEM: "no_memory", ENOSPC: "no_memory", EPERM: "local_denied", EACCES: "local_denied",
};
const ended = (error) => {
  if (!error) return { why: "end" };
  if (OURS[error.code]) return { why: "local", reason: OURS[error.code] };
  return { why: ENDS[error.code] ?? "other", detail: error.message };
};
// An address in text as the engine has it.
const parsed = ({ address, family }) => {
  if (family === 4) return { family, ip: Uint8Array.from(address.split("."), Number) };
  const [head, tail = ""] = address.split("::"), part = (it) => (it ? it.split(":") : []);
  const [before, after] = [part(head), part(tail)];
  const groups = [...before, ...Array(8 - before.length - after.length).fill("0"), ...after];
  return { family, ip: Uint8Array.from(groups.flatMap((it) => [parseInt(it, 16) >> 8, parseInt(it, 16) & 255])) };
};
const host = ({ family, ip }) =>
  family === 4 ? ip.join(".") : Array.from({ length: 8 }, (_, i) => ((ip[2 * i] << 8) | ip[2 * i + 1]).toString(16)).join(":");

// A socket whose error of sending waits in `broken`: Node would throw away with the
// socket what has arrived, and a peer may answer, and close, before it has read all.
class Patient extends Socket {
  broken = null;
  patiently(done) {
    return (error) => {
      if (error && !this.broken) {
        this.broken = error;
        this.giveUp(-1);
      }
      done();
    };
  }
  _write(chunk, encoding, done) { this.broken ? done() : super._write(chunk, encoding, this.patiently(done)); }
  _writev(chunks, done) { this.broken ? done() : super._writev(chunks, this.patiently(done)); }
  // Until nothing has arrived for a turn of the loop.
  giveUp(read) {
    setImmediate(() => {
      if (this.destroyed) return;
      if (this.isPaused() || this.bytesRead !== read) this.giveUp(this.bytesRead);
      else this.emit("broken", this.broken);
    });
  }
}

function open({ run, conn, address, source, transport }) {
  if (transport !== "tcp") return engine.closed(run, conn, { why: "local", reason: "local_denied" }, now());
  const key = `${run}/${conn}`;
  const socket = new Patient();
  sockets.set(key, socket);
  // What is told of a connection that the engine has closed would be ignored.
  const tell = (what) => { if (sockets.get(key) === socket) { what(); settle(); } };
  const end = (error) => tell(() => {
    sockets.delete(key);
    socket.destroy();
    engine.closed(run, conn, ended(error), now());
  });
  socket.setNoDelay(true);
  socket.on("connect", () => tell(() => engine.opened(run, conn, now())));
  socket.on("data", (bytes) => tell(() => {
    engine.data(run, conn, bytes, now());
    if (engine.isBehind(run)) { // read on when it has caught up
      socket.pause();
      const retry = () => {
        engine.handleTimeout(now());
        settle();
        if (sockets.get(key) === socket) engine.isBehind(run) ? setImmediate(retry) : socket.resume();
      };
      setImmediate(retry);
    }
  }));
  socket.on("end", () => end(socket.broken));
  socket.on("error", (error) => end(socket.broken ?? error));
  socket.on("broken", end);
  socket.connect({ host: host(address), port: address.port, localAddress: source ? host(source) : undefined });
}

function resolve({ run, name, families }) {
  const family = { only_v4: 4, only_v6: 6 }[families] ?? 0;
  lookup(name, { all: true, family, verbatim: true }, (error, found) => {
    if (!error) engine.resolved(run, found.map(parsed), now());
    else engine.unresolved(run, OURS[error.code] ?? (error.code === "ENOTFOUND" ? "dns_not_found" : "dns_server_failure"), now());
    settle();
  });
}

function carryOut(asked) {
  const key = `${asked.run}/${asked.conn}`;
  switch (asked.kind) {
    case "resolve": return resolve(asked);
    case "open": return open(asked);
    case "send": return sockets.get(key)?.write(asked.bytes);
    case "flush": // an empty write is done when those before it are
      return sockets.get(key)?.write("", () => {
        if (sockets.get(key)?.broken) return;
        engine.flushed(asked.run, asked.conn, now());
        settle();
      });
    case "secure": // this agent has no TLS: that is not the target's fault
      sockets.get(key)?.destroy();
      sockets.delete(key);
      return engine.closed(asked.run, asked.conn, { why: "local", reason: "local_tls" }, now());
    case "close":
      sockets.get(key)?.end().destroySoon();
      return sockets.delete(key);
    case "report": {
      const { outcome, reason, detail } = asked.report;
      console.log(outcome, running.get(asked.run), reason, detail);
      failed += outcome === "failure" || outcome === "unknown";
      running.delete(asked.run);
    }
  }
}

// Does what the engine asks, and sleeps until its next time-out.
let timer;
function settle() {
  for (let asked = engine.output(); asked; asked = engine.output()) carryOut(asked);
  clearTimeout(timer);
  if (running.size === 0) {
    engine.free();
    probity.freeConfig(config);
    process.exit(failed > 0 ? 1 : 0);
  }
  const at = engine.nextTimeout();
  if (at === null) return;
  const wait = at - now();
  timer = setTimeout(() => {
    engine.handleTimeout(now());
    settle();
  }, wait > 0n ? Number(wait / 1_000_000n) + 1 : 0);
}
settle();
