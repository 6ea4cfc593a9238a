// probity.wasm for JavaScript: the functions of include/probity.h that need no IO,
// with objects instead of structs. Numbers of 64 bits are BigInt, bytes Uint8Array,
// times nanoseconds. `agent.mjs` shows how it is used.
//
// In the module pointers and size_t have 32 bits, everything else is as in C. A
// struct is read and written here field by field, in the order of the header, and
// each field is aligned as C aligns it.

export const OUTCOMES = ["success", "warning", "failure", "unknown"];
export const HEALTHS = ["unknown", "up", "down"];
export const PHASES = ["resolve", "connect", "tls", "processing", "transfer"];
export const TRANSPORTS = ["tcp", "udp"];
export const FAMILIES = ["prefer_v6", "prefer_v4", "only_v6", "only_v4"];
export const CLOSED = ["end", "reset", "refused", "unreachable", "timed_out", "tls", "other", "local"];

const OUTPUTS = [, "resolve", "open", "secure", "send", "close", "report", "flush"];
const TLS_VERSIONS = { 0x0303: "TLSv1.2", 0x0304: "TLSv1.3" };
const OK = 0, NOTHING = 1, NOT_BEGUN = 2;
const NOT_COMPLETED = 0xffff_ffff_ffff_ffffn;
const NAMES_HOST = 1;
const ERROR_ROOM = 4096;
const utf8 = { encode: new TextEncoder(), decode: new TextDecoder("utf-8", { fatal: true }) };

// Reads the fields of a struct, one after the other.
class Reader {
  constructor(module, at) { this.module = module; this.at = at; this.view = module.view(); }
  place(size, align = size) {
    const at = Math.ceil(this.at / align) * align;
    this.at = at + size;
    return at;
  }
  u8() { return this.view.getUint8(this.place(1)); }
  u16() { return this.view.getUint16(this.place(2), true); }
  u32() { return this.view.getUint32(this.place(4), true); }
  u64() { return this.view.getBigUint64(this.place(8), true); }
  i64() { return this.view.getBigInt64(this.place(8), true); }
  f64() { return this.view.getFloat64(this.place(8), true); }
  bytes() { const at = this.u32(); return this.module.bytes(at, this.u32()).slice(); }
  text() { const at = this.u32(); return utf8.decode.decode(this.module.bytes(at, this.u32())); }
  list(length, read) { return Array.from({ length }, () => read(this)); }
  // An address is { family: 4 or 6, port, ip: Uint8Array of 4 or 16 } or null.
  address() {
    this.place(0, 2);
    const family = this.u8();
    this.u8();
    const port = this.u16();
    const ip = this.module.bytes(this.place(16, 1), family === 4 ? 4 : 16).slice();
    return family === 0 ? null : { family, port, ip };
  }
}

// Writes them, and what they point to.
class Writer extends Reader {
  put8(value) { this.view.setUint8(this.place(1), value); }
  put16(value) { this.view.setUint16(this.place(2), value, true); }
  put32(value) { this.view.setUint32(this.place(4), value, true); }
  put64(value) { this.view.setBigUint64(this.place(8), BigInt(value), true); }
  puti64(value) { this.view.setBigInt64(this.place(8), BigInt(value), true); }
  putBytes(bytes) {
    this.put32(this.module.give(bytes));
    this.put32(bytes.length);
  }
  putText(text = "") { this.putBytes(utf8.encode.encode(text)); }
  putAddress({ family, port = 0, ip }) {
    this.place(0, 2);
    this.put8(family);
    this.put8(0);
    this.put16(port);
    this.module.bytes(this.place(16, 1), ip.length).set(ip);
  }
}

// A result that is not PROBITY_RESULT_OK, with what the library says about it.
export class ProbityError extends Error {
  constructor(result, text) { super(text); this.result = result; }
}

export class Probity {
  // `module` is a WebAssembly.Module, or the bytes of probity.wasm.
  static async load(module) {
    const compiled = module instanceof WebAssembly.Module ? module : await WebAssembly.compile(module);
    return new Probity(await WebAssembly.instantiate(compiled, {}));
  }

  constructor(instance) {
    this.wasm = instance.exports;
    this.given = []; // what a call is given, freed when it returns
    this.shared = this.allocate(512); // room for the struct that a call fills in
  }

  view() { return new DataView(this.wasm.memory.buffer); }
  bytes(at, length) { return new Uint8Array(this.wasm.memory.buffer, at, length); }
  allocate(size) {
    const at = this.wasm.probity_allocate(size);
    if (at === 0 && size > 0) throw new RangeError(`no room for ${size} bytes in the module`);
    return at;
  }

  // Copies bytes into the module for the duration of a call; NULL for none.
  give(bytes) {
    if (bytes.length === 0) return 0;
    const at = this.reserve(bytes.length);
    this.bytes(at, bytes.length).set(bytes);
    return at;
  }
  reserve(size) {
    const at = this.allocate(size);
    this.given.push([at, size]);
    return at;
  }
  // A struct of `size` bytes for the duration of a call, written by `write`. What it
  // points to may make the memory grow: the view is taken anew for each field.
  struct(size, write) {
    const at = this.reserve(size);
    const writer = new Writer(this, at);
    Object.defineProperty(writer, "view", { get: () => this.view() });
    writer.put32(size);
    write(writer);
    return at;
  }
  // The text of a `probity_text`, which is given by value: a pointer to it.
  textOf(text) {
    const bytes = utf8.encode.encode(text), data = this.give(bytes), at = this.reserve(8);
    this.view().setUint32(at, data, true);
    this.view().setUint32(at + 4, bytes.length, true);
    return at;
  }
  // A function that returns a `probity_text` writes it to its first argument.
  textBy(name, ...args) {
    this.wasm[name](this.shared, ...args);
    return new Reader(this, this.shared).text();
  }

  scope(body) {
    const before = this.given.length;
    try {
      return body();
    } finally {
      for (const [at, size] of this.given.splice(before)) this.wasm.probity_deallocate(at, size);
    }
  }

  // Errors are thrown; whether it was OK, and not NOTHING or NOT_BEGUN.
  check(result, said = "") {
    if (result === OK || result === NOTHING || result === NOT_BEGUN) return result === OK;
    throw new ProbityError(result, said || this.textBy("probity_result_text", result));
  }
  // Calls `call` with room for an error in words.
  saying(call) {
    const room = this.reserve(ERROR_ROOM), buffer = this.reserve(12);
    this.view().setUint32(buffer, room, true);
    this.view().setUint32(buffer + 4, ERROR_ROOM, true);
    const result = call(buffer);
    const length = Math.min(this.view().getUint32(buffer + 8, true), ERROR_ROOM - 1);
    return this.check(result, utf8.decode.decode(this.bytes(room, length)));
  }

  version() { return this.textBy("probity_version"); }
  abiVersion() { return this.wasm.probity_abi_version(); }
  reasonName(number) { return this.textBy("probity_reason_name", number); }
  reasonNumber(name) { return this.scope(() => this.wasm.probity_reason_number(this.textOf(name))); }

  // Parses a file with modules; "" stands for the built-in ones.
  parse(name, text) {
    return this.scope(() => {
      this.saying((error) =>
        this.wasm.probity_config_parse(this.textOf(name), this.textOf(text), 0, this.shared, error));
      return new Reader(this, this.shared).u64();
    });
  }
  freeConfig(config) { this.check(this.wasm.probity_config_free(config)); }

  // An engine that leaves names to its host. `seed`: 32 random bytes.
  engine(options, now) { return new Engine(this, options, now); }
}

export class Engine {
  constructor(probity, options, now) {
    this.probity = probity;
    this.wasm = probity.wasm;
    this.handle = probity.scope(() => {
      const config = probity.struct(60, (it) => {
        it.putBytes(options.seed);
        it.put32(options.targets ?? 0);
        it.put32(options.inFlight ?? 0);
        it.put32(options.onceInFlight ?? 0);
        it.put32(options.lookups ?? 0);
        it.put32(options.cachedNames ?? 0);
        it.put32(options.startsPerDestination ?? 0);
        it.put32(options.burstPerDestination ?? 0);
        it.put32(NAMES_HOST);
      });
      probity.check(this.wasm.probity_engine_new(config, now, probity.shared));
      return new Reader(probity, probity.shared).u64();
    });
  }

  free() { this.probity.check(this.wasm.probity_engine_free(this.handle)); }
  call(name, ...args) { return this.probity.check(this.wasm[`probity_engine_${name}`](this.handle, ...args)); }

  begin(now) { this.call("begin", now); }
  drain(now) { this.call("drain", now); }
  shutdown(now) { this.call("shutdown", now); }
  handleTimeout(now) { this.call("handle_timeout", now); }
  remove(id, now) { this.call("remove", id, now); }
  trigger(id, now) { this.call("trigger", id, now); }
  cancel(run, now) { this.call("cancel", run, now); }
  isBehind(run) { return this.call("is_behind", run); }

  // When `handleTimeout` is to be called next, or null: only an event changes anything, or
  // there are targets and `begin` was not called.
  nextTimeout() {
    const some = this.call("next_timeout", this.probity.shared);
    return some ? new Reader(this.probity, this.probity.shared).u64() : null;
  }

  // A target is { config, module, target } and what else `probity_target` has.
  // Gives the id by which it is known.
  add(target, now) {
    return this.wanted(target, (it, error) =>
      this.wasm.probity_engine_add(this.handle, it, now, this.probity.shared, error));
  }
  // Runs a check once, and gives the number of the run.
  run(target, now) {
    return this.wanted(target, (it, error) =>
      this.wasm.probity_engine_run(this.handle, it, now, this.probity.shared, error));
  }
  wanted(target, call) {
    const { probity } = this;
    return probity.scope(() => {
      const wanted = probity.struct(88, (it) => {
        it.put64(target.config);
        it.putText(target.module);
        it.putText(target.target);
        it.putText(target.hostname);
        it.put64(target.id ?? 0);
        it.put64(target.interval ?? 0);
        it.put64(target.timeout ?? 0);
        it.put64(target.initialDelay ?? 0);
        it.put32(target.successThreshold ?? 0);
        it.put32(target.failureThreshold ?? 0);
        it.put32(target.kind ?? 0);
        it.put32(target.group ?? 0);
      });
      probity.saying((error) => call(wanted, error));
      return new Reader(probity, probity.shared).u64();
    });
  }

  // The next thing that is asked, or null: { kind, run, conn, ... }.
  output() {
    const { probity } = this, at = probity.shared;
    probity.view().setUint32(at, 96, true);
    if (!this.call("output", at)) return null;
    const it = new Reader(probity, at + 4);
    const asked = { kind: OUTPUTS[it.u32()], conn: it.u32(), run: it.u64() };
    asked.transport = TRANSPORTS[it.u32()];
    asked.families = FAMILIES[it.u32()];
    asked.address = it.address();
    asked.source = it.address();
    asked.name = it.text();
    asked.bytes = it.bytes();
    const report = it.u32(), tls = it.u32();
    if (report !== 0) asked.report = this.report(report);
    if (tls !== 0) asked.tls = this.tlsRequest(tls);
    return asked;
  }

  report(at) {
    const it = new Reader(this.probity, at + 4);
    const report = { target: it.u64(), outcome: OUTCOMES[it.u32()] };
    const reason = it.u32();
    report.detail = it.text();
    report.phase = PHASES[it.u32()];
    report.transition = HEALTHS[it.u32()];
    for (const name of ["runs", "due", "started", "finished", "total"]) report[name] = it.u64();
    report.phases = it.list(5, () => it.u64()).map((spent) => (spent === NOT_COMPLETED ? null : spent));
    report.address = it.address();
    const tls = it.u32();
    const facts = new Reader(this.probity, it.u32());
    report.facts = facts.list(it.u32(), () => ({
      name: facts.text(), label: facts.text(), labelValue: facts.text(), value: facts.f64(),
    }));
    report.tls = tls === 0 ? null : this.tls(tls);
    report.reason = this.probity.reasonName(reason);
    return report;
  }

  // How a connection is to be secured.
  tlsRequest(at) {
    const it = new Reader(this.probity, at + 4);
    const request = { options: it.u64(), serverName: it.text() };
    const alpn = new Reader(this.probity, it.u32());
    request.alpn = alpn.list(it.u32(), () => alpn.text());
    request.skipVerify = it.u32() === 1;
    request.minVersion = TLS_VERSIONS[it.u32()];
    request.maxVersion = TLS_VERSIONS[it.u32()];
    it.u32(); // reserved
    for (const name of ["ca", "certificate", "key"]) request[name] = it.bytes();
    return request;
  }

  tls(at) {
    const it = new Reader(this.probity, at + 4);
    return {
      version: it.text(), cipher: it.text(), alpn: it.text(),
      earliestExpiry: it.i64(), chainExpiry: it.i64(), fingerprintSha256: it.text(),
      subject: it.text(), issuer: it.text(), subjectAlternative: it.text(), serial: it.text(),
    };
  }

  // What has happened. `conn` is the number that the output had.
  resolved(run, addresses, now) {
    const { probity } = this;
    probity.scope(() => {
      const list = probity.reserve(20 * addresses.length);
      const it = new Writer(probity, list);
      for (const address of addresses) it.putAddress(address);
      this.call("resolved", run, list, addresses.length, now);
    });
  }
  unresolved(run, reason, now) { this.call("unresolved", run, this.probity.reasonNumber(reason), now); }
  opened(run, conn, now) { this.call("opened", run, conn, now); }
  flushed(run, conn, now) { this.call("flushed", run, conn, now); }
  secured(run, conn, tls, now) {
    this.probity.scope(() => this.call("secured", run, conn, this.tlsInfo(tls), now));
  }
  // `probity_bytes` is given by value: a pointer to it.
  data(run, conn, bytes, now) {
    const { probity } = this;
    probity.scope(() => {
      const data = probity.give(bytes), at = probity.reserve(8);
      probity.view().setUint32(at, data, true);
      probity.view().setUint32(at + 4, bytes.length, true);
      this.call("data", run, conn, at, now);
    });
  }
  // `why` is one of CLOSED; the rest is for `tls`, `other` and `local`.
  closed(run, conn, { why, reason = "", detail = "", tls = null }, now) {
    const { probity } = this;
    probity.scope(() => {
      const info = tls ? this.tlsInfo(tls) : 0;
      const number = reason ? probity.reasonNumber(reason) : 0;
      const closed = probity.struct(24, (it) => {
        it.put32(CLOSED.indexOf(why));
        it.put32(number);
        it.putText(detail);
        it.put32(info);
      });
      this.call("closed", run, conn, closed, now);
    });
  }
  tlsInfo(tls) {
    return this.probity.struct(88, (it) => {
      for (const name of ["version", "cipher", "alpn"]) it.putText(tls[name]);
      it.puti64(tls.earliestExpiry ?? 0);
      it.puti64(tls.chainExpiry ?? 0);
      for (const name of ["fingerprintSha256", "subject", "issuer", "subjectAlternative", "serial"]) {
        it.putText(tls[name]);
      }
    });
  }

  // What is known of a target.
  target(id) {
    const { probity } = this, at = probity.shared;
    probity.view().setUint32(at, 96, true);
    this.call("target", id, at);
    const it = new Reader(probity, at + 4);
    const state = { id: it.u64(), health: HEALTHS[it.u32()], group: it.u32(), outcome: OUTCOMES[it.u32()] };
    const reason = it.u32();
    state.detail = it.text();
    for (const name of ["finished", "total", "next"]) state[name] = it.u64();
    state.results = it.list(4, () => it.u64());
    state.reason = probity.reasonName(reason);
    return state;
  }

  // What the engine has done and holds.
  stats(now) {
    const { probity } = this, at = probity.shared;
    probity.view().setUint32(at, 80, true);
    this.call("stats_of", now, at);
    const it = new Reader(probity, at + 4), stats = { runs: it.list(4, () => it.u64()) };
    for (const name of ["targets", "overdue", "inFlight", "queued", "startLagP99"]) stats[name] = it.u64();
    return stats;
  }
}
