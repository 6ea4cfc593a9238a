// A check again and again in probity.wasm, in a world that answers at once: what
// `pieces.rs` does without Wasm.
import { readFileSync } from "node:fs";
import { Probity } from "../../../core/ffi/examples/probity.mjs";

const [, , module, times] = process.argv;
const response = new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
const probity = await Probity.load(readFileSync(module));
const config = probity.parse("", ""), engine = probity.engine({ seed: new Uint8Array(32) }, 0n);
const second = 1_000_000_000n;
engine.add({ config, module: "http_2xx", target: "http://192.0.2.1/", interval: second, timeout: second }, 0n);
engine.begin(0n);
for (let reports = 0; reports < Number(times); ) {
  const now = engine.nextTimeout();
  engine.handleTimeout(now);
  for (let asked; (asked = engine.output()); ) {
    if (asked.kind === "open") engine.opened(asked.run, asked.conn, now);
    else if (asked.kind === "send") engine.data(asked.run, asked.conn, response, now);
    else if (asked.kind === "report") {
      if (asked.report.outcome !== "success") throw new Error(asked.report.detail);
      reports++;
    }
  }
}
