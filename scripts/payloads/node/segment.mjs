// Sends what it reads on standard input, an array of calls, through Segment's library for Node, which is in MODULES:
//   node segment.mjs MODULES HOST
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const [modules, host] = process.argv.slice(2);
const { Analytics } = createRequire(`${modules}/`)("@segment/analytics-node");
const analytics = new Analytics({ writeKey: "key", host, flushAt: 20, flushInterval: 100 });
analytics.on("error", (error) => {
  console.error(error);
  process.exitCode = 1;
});
for (const { kind, call } of JSON.parse(await text(process.stdin))) {
  analytics[kind]({ ...call, timestamp: new Date(call.timestamp) });
}
await analytics.closeAndFlush({ timeout: 20_000 });
