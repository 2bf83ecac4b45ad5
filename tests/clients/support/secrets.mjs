// Looking for what must not be in a log or an answer.

import assert from "node:assert/strict";

/** None of the secrets is in the text, nor a part of those that are tokens; what all tokens begin with says nothing. */
export function nothingOf(secrets, text) {
  for (const secret of secrets) {
    const [first, ...others] = secret.split(".");
    const isToken = others.length === 2 && first.startsWith("eyJ");
    const parts = isToken ? others.flatMap((part) => [part.slice(0, 40), part.slice(-24)]) : [secret];
    for (const part of parts) {
      const at = text.indexOf(part);
      assert.equal(at, -1, `a part of a secret follows after: …${text.slice(Math.max(0, at - 200), at)}`);
    }
  }
}
