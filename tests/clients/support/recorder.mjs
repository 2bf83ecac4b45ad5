// Stands between the sidecar and its backend, passes everything on unchanged, and remembers for which tenant each
// request was. The sandbox does not keep tenants' records apart, so this is where one sees for whom a call was made.

import { createServer, request as send } from "node:http";

/** A recorder in front of `backend`; `url` is where it listens, `take()` the tenants of the requests since the last. */
export async function startRecorder(backend) {
  let tenants = [];
  const server = createServer((request, response) => {
    tenants.push(request.headers["x-tb-tenant-id"]);
    const { method, headers } = request;
    const onward = send(new URL(request.url, backend), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.once("error", () => response.destroy());
    request.pipe(onward);
  });
  // Idle connections stay: one that goes away just as the sidecar writes would look like a fault of the backend.
  server.keepAliveTimeout = 0;
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    take() {
      const taken = tenants;
      tenants = [];
      return taken;
    },
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
