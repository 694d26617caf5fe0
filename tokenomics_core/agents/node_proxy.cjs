// Loaded by NODE_OPTIONS before a program in an older Node, which knows no proxy variables: its fetch and its
// https then go through HTTPS_PROXY, but for what NO_PROXY names. A newer Node does so by itself.
"use strict";

const [major, minor] = process.versions.node.split(".").map(Number);
const knows = major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21);
const value = process.env.HTTPS_PROXY || process.env.https_proxy;

if (value && !knows && !process.versions.bun && !process.versions.electron) install(new URL(value));

function install(proxy) {
  const http = require("node:http");
  const https = require("node:https");
  const net = require("node:net");
  const tls = require("node:tls");
  const direct = (process.env.NO_PROXY || process.env.no_proxy || "").toLowerCase().split(/[,\s]+/).filter(Boolean);

  const isDirect = (host) => {
    const name = host.toLowerCase().replace(/^\[|\]$/g, "");
    return direct.some((entry) => {
      const bare = entry.replace(/^\*?\.?/, "");
      return bare === "" || name === bare || name.endsWith("." + bare);
    });
  };

  // One CONNECT; gives the plain socket to the host.
  const tunnel = (host, port, done) => {
    const to = `${host.includes(":") ? `[${host.replace(/^\[|\]$/g, "")}]` : host}:${port}`;
    const headers = { host: to };
    if (proxy.username) {
      const login = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
      headers["proxy-authorization"] = "Basic " + Buffer.from(login).toString("base64");
    }
    const secure = proxy.protocol === "https:";
    const request = (secure ? https : http).request({
      method: "CONNECT",
      host: proxy.hostname.replace(/^\[|\]$/g, ""),
      port: proxy.port || (secure ? 443 : 80),
      path: to,
      headers,
      agent: false,
    });
    request.once("connect", (answer, socket) => {
      if (answer.statusCode === 200) return done(null, socket);
      socket.destroy();
      done(new Error(`the proxy refuses ${to}: status ${answer.statusCode}`));
    });
    request.once("response", (answer) => {
      answer.destroy();
      done(new Error(`the proxy refuses ${to}: status ${answer.statusCode}`));
    });
    request.once("error", done);
    request.end();
  };

  const secured = (options, done) => {
    const socket = tls.connect(options);
    socket.once("secureConnect", () => done(null, socket));
    socket.once("error", done);
    return socket;
  };

  // The https module, for whoever uses its own agent.
  class Agent extends https.Agent {
    createConnection(options, done) {
      const host = options.host || options.hostname || "localhost";
      if (isDirect(host)) return super.createConnection(options, done);
      tunnel(host, options.port || 443, (error, socket) => {
        if (error) return done(error);
        const servername = options.servername || (net.isIP(host) ? "" : host);
        secured({ ...options, host, socket, servername, path: undefined }, once(done));
      });
      return undefined;
    }
  }
  https.globalAgent = new Agent({ keepAlive: true });

  // fetch: its dispatcher is there once it was used; its class is not to be had in another way.
  const connect = (options, callback) => {
    const done = once(callback);
    const host = options.hostname;
    const isTls = options.protocol === "https:";
    const port = Number(options.port) || (isTls ? 443 : 80);
    const servername = options.servername || (net.isIP(host) ? "" : host);
    const settings = { servername, ALPNProtocols: ["http/1.1"] };
    if (isDirect(host)) {
      if (isTls) return void secured({ ...settings, host, port }, done);
      const socket = net.connect({ host, port });
      socket.once("connect", () => done(null, socket));
      return void socket.once("error", done);
    }
    tunnel(host, port, (error, socket) => {
      if (error || !isTls) return done(error, socket);
      secured({ ...settings, socket }, done);
    });
  };

  const plain = globalThis.fetch;
  if (typeof plain !== "function") return;
  const key = Symbol.for("undici.globalDispatcher.1");
  let ready = false;
  globalThis.fetch = function fetch(input, init) {
    if (!ready) {
      ready = true;
      plain("data:,").catch(() => {});
      const dispatcher = globalThis[key];
      // Whoever set a dispatcher of another class knows what to do about proxies.
      if (dispatcher && dispatcher.constructor.name === "Agent") {
        globalThis[key] = new dispatcher.constructor({ connect });
      }
    }
    return plain(input, init);
  };
}

// A socket that fails after it was handed over reports to its new owner.
function once(done) {
  let called = false;
  return (...result) => {
    if (!called) done(...result);
    called = true;
  };
}
