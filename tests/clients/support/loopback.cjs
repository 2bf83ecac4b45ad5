// For `node --require`: makes every server of that process listen on 127.0.0.1, because `workos emulate` listens on all
// interfaces and has no option for that. Its other arguments, such as the port and the callback, stay as they are.
"use strict";

const net = require("node:net");

const HOST = "127.0.0.1";
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (first, ...rest) {
  if (first !== null && typeof first === "object" && first.port !== undefined) {
    return listen.call(this, { ...first, host: HOST }, ...rest);
  }
  if (typeof first === "number") {
    const callbacks = rest.filter((argument) => typeof argument === "function");
    return listen.call(this, { port: first, host: HOST }, ...callbacks);
  }
  return listen.call(this, first, ...rest);
};
