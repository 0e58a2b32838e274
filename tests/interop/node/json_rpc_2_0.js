// Calls the server with the npm package json-rpc-2.0 over Node's own fetch, and prints what came back as JSON.
// Usage: node json_rpc_2_0.js URL
"use strict";

const { JSONRPCClient } = require("json-rpc-2.0");

const [url] = process.argv.slice(2);
const statuses = [];

const client = new JSONRPCClient(async (request) => {
  const response = await fetch(`${url}/jsonrpc`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  statuses.push([response.status, response.headers.get("content-encoding")]);
  const body = await response.text();
  if (body) client.receive(JSON.parse(body));
});

const asked = (method, params) =>
  client.timeout(20000).request(method, params).catch(({ code, message, data }) => ({ code, message, data }));

async function main() {
  const stamp = `note ${process.pid} ${Date.now()}`;
  const report = {
    add: await asked("interop.add", [2, -3]),
    named: await asked("interop.add_async", { b: 3, a: 2 }),
    fault: await asked("interop.fail", [42, "nö"]),
    together: await Promise.all([1, 2, 3, 4, 5].map((n) => asked("interop.echo", [n]))),
    batch: await client.requestAdvanced([
      { jsonrpc: "2.0", id: "x", method: "interop.add", params: [1, 2] },
      { jsonrpc: "2.0", id: "y", method: "interop.no_such_method" },
    ]),
  };
  statuses.length = 0;
  client.notify("interop.note", [stamp]);
  while (!statuses.length) await new Promise((resolve) => setTimeout(resolve, 5)); // notify tells nobody when it was sent
  report.noted = await asked("interop.noted", [stamp]);
  report.length = (await asked("interop.text", [100000])).length;
  report.statuses = statuses;
  console.log(JSON.stringify(report));
}

main();
