// Calls the server with the npm package jayson, in JSON-RPC 2.0 and in the 1.0 style, and prints its answers as JSON.
// Usage: node jayson.js URL NAME...
"use strict";

const http = require("http");
const jayson = require("jayson");

const [url, ...names] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const { hostname, port } = new URL(url);
const client = jayson.Client.http({ hostname, port, path: "/jsonrpc", agent });
const older = jayson.Client.http({ hostname, port, path: "/RPC2", agent, version: 1 });

// The id 0 marks the answers, so that they can be compared whole.
function ask(speaker, method, params, id = 0) {
  return new Promise((resolve, reject) => {
    speaker.request(method, params, id, (error, response) => (error ? reject(error) : resolve(response ?? "nothing")));
  });
}

function batch(requests) {
  return new Promise((resolve, reject) => {
    client.request(requests, (error, response) => (error ? reject(error) : resolve(response ?? "nothing")));
  });
}

const call = async (method, params) => (await ask(client, method, params)).result;

async function each(object, method) {
  const report = {};
  for (const [name, value] of Object.entries(object)) report[name] = await call(method, [value]);
  return report;
}

const values = {
  int: -5,
  "large int": Number.MAX_SAFE_INTEGER,
  double: -0.125,
  exponent: 1e-7,
  boolean: true,
  string: '<Zürich & 😀>\u0000\u2028"\\',
  "empty string": "",
  nil: null,
  array: [1, "two", [3.5, []], null],
  struct: { born: { year: 1815 }, more: {}, name: "Ada", "": 1 },
};

async function main() {
  const stamp = `note ${process.pid} ${Date.now()}`;
  const report = {
    give: await each(Object.fromEntries(names.map((name) => [name, name])), "interop.give"),
    describe: await each(values, "interop.describe"),
    echo: await each(values, "interop.echo"),
    whole: await ask(client, "interop.add", [2, -3], "an id"),
    async: await call("interop.add_async", [2, 3]),
    named: await call("interop.greet", { name: "Ada", greeting: "Bonjour", marks: 2 }),
    typed: await call("interop.shift", ["1998-07-17T14:08:55", "AAEC/w==", [1, 2.5], { on: true }]),
    faults: {
      own: await ask(client, "interop.fail", [42, "nö"]),
      crash: await ask(client, "interop.crash", []),
      method: await ask(client, "interop.no_such_method", []),
      params: await ask(client, "interop.add", { a: 1, c: 2 }),
      result: await ask(client, "interop.unsendable", []),
    },
    notification: await ask(client, "interop.note", [stamp], null),
    noted: await call("interop.noted", [stamp]),
    batch: await batch([
      client.request("interop.add", [1, 2], "first"),
      client.request("interop.note", [`${stamp} in a batch`], null),
      client.request("interop.fail", [7, "seven"], "second"),
      client.request("interop.greet", { name: "Ada" }, "third"),
    ]),
    "noted in a batch": await call("interop.noted", [`${stamp} in a batch`]),
    notifications: await batch([client.request("interop.note", [stamp], null), client.request("interop.note", [stamp], null)]),
    methods: await call("system.listMethods", []),
    discovered: await call("rpc.discover", []),
    older: {
      add: await ask(older, "interop.add", [2, 3], 1),
      fail: await ask(older, "interop.fail", [42, "nö"], 2),
      notification: await ask(older, "interop.note", [`${stamp} in 1.0`], null),
      noted: (await ask(older, "interop.noted", [`${stamp} in 1.0`], 3)).result,
    },
  };
  agent.destroy();
  console.log(JSON.stringify(report));
}

main();
