// What stands before a sidecar that comes and goes, as a platform's proxy does (Fly's, for one): while nobody listens it
// holds requests, because nothing of them was sent; what was under way when the sidecar died ends with 502, or where the
// answer had begun, with a broken body. It never sends a request twice.

import { createServer, request as send } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const PATIENCE_MS = 30_000;
const LARGEST_BODY = 1024 * 1024;

/** A proxy before 127.0.0.1:`port`; `url` is where it listens, `held` how many requests waited, `broken` how many broke. */
export async function startFront(port) {
  const front = { held: 0, broken: 0 };
  const server = createServer(async (request, response) => {
    const body = await whole(request);
    const deadline = Date.now() + PATIENCE_MS;
    for (let tries = 0; ; tries += 1) {
      const refused = await passOn(request, body, response, port, front);
      if (!refused || response.destroyed) return;
      if (tries === 0) front.held += 1;
      if (Date.now() > deadline) return response.writeHead(503).end("nobody listens");
      await pause(20);
    }
  });
  server.keepAliveTimeout = 0;
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  front.url = `http://127.0.0.1:${server.address().port}`;
  front.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return front;
}

/** Whether nobody listened; in every other case the response is taken care of. */
function passOn({ method, url, headers }, body, response, port, front) {
  return new Promise((resolve) => {
    // A connection for each request: one that was kept and is dead would look like a request under way.
    const onward = send({ host: "127.0.0.1", port, method, path: url, headers, agent: false });
    const leave = () => onward.destroy();
    response.once("close", leave);
    onward.once("response", (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      // A stream that says nothing yet has begun all the same.
      response.flushHeaders();
      answer.pipe(response);
      answer.once("error", () => {
        front.broken += 1;
        response.destroy();
      });
      resolve(false);
    });
    onward.once("error", ({ code }) => {
      response.off("close", leave);
      if (code === "ECONNREFUSED") return resolve(true);
      front.broken += 1;
      if (response.headersSent) response.destroy();
      else response.writeHead(502, { "Retry-After": "1" }).end("the request was under way when the server went away");
      resolve(false);
    });
    onward.end(body);
  });
}

async function whole(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > LARGEST_BODY) throw new Error("the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
