// Calls the server with the npm package xmlrpc and prints what came back as JSON: a Date as {date}, a Buffer as {base64}.
// Usage: node xmlrpc.js URL NAME...
"use strict";

const http = require("http");
const xmlrpc = require("xmlrpc");

const [url, ...names] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const client = xmlrpc.createClient({ url: `${url}/RPC2`, agent });
const sockets = new Set();

function ask(method, ...params) {
  return new Promise((resolve, reject) => {
    client.methodCall(method, params, (error, value) => (error ? reject(error) : resolve(value)));
    for (const found of Object.values(agent.sockets).flat()) sockets.add(found);
  });
}

function shown(value) {
  if (value instanceof Date) return { date: value.toISOString() };
  if (Buffer.isBuffer(value)) return { base64: value.toString("base64") };
  if (Array.isArray(value)) return value.map(shown);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shown(item)]));
}

async function call(method, ...params) {
  try {
    return shown(await ask(method, ...params));
  } catch (error) {
    return { error: [error.faultCode, error.faultString ?? String(error)] };
  }
}

async function each(object, method) {
  const report = {};
  for (const [name, value] of Object.entries(object)) report[name] = await call(method, value);
  return report;
}

const values = {
  int: -5,
  double: -0.125,
  boolean: true,
  string: "<Zürich & 😀>]]>",
  "empty string": "",
  date: new Date(Date.UTC(1998, 6, 17, 14, 8, 55)),
  base64: Buffer.from(Array.from({ length: 256 }, (_, index) => index)),
  nil: null,
  array: [1, "two", [3.5, []]],
  struct: { born: { year: 1815 }, more: {}, name: "Ada" },
};

async function main() {
  const report = {
    give: await each(Object.fromEntries(names.map((name) => [name, name])), "interop.give"),
    describe: await each(values, "interop.describe"),
    echo: await each(values, "interop.echo"),
    add: [await call("interop.add", 2, -3), await call("interop.add_async", 2, 3)],
    faults: {
      own: await call("interop.fail", 42, "nö <&>"),
      crash: await call("interop.crash"),
      method: await call("interop.no_such_method"),
      params: await call("interop.add", 1),
      result: await call("interop.unsendable"),
    },
    methods: await call("system.listMethods"),
    signature: await call("system.methodSignature", "interop.add"),
    help: await call("system.methodHelp", "interop.add"),
    multicall: await call("system.multicall", [
      { methodName: "interop.add", params: [1, 2] },
      { methodName: "interop.add_async", params: [3, 4] },
      { methodName: "interop.fail", params: [7, "seven"] },
    ]),
    together: await Promise.all([1, 2, 3, 4, 5].map((n) => call("interop.add", n, n))),
  };
  report.connections = new Set([...sockets]).size;
  agent.destroy();
  console.log(JSON.stringify(report));
}

main();
