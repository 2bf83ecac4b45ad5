// Asking the operations port. In: a path. Out: what it says, or an `Unanswered` with words for people. Where the port
// wants the operator's token, a dialog asks for it once; it is kept for this tab and sent to this origin alone.

import { byId } from "./dom.js";

const KEPT = "toolbridge.ops_token";

/** Why there is no answer. `status` is 0 where nobody answered at all. */
export class Unanswered extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let token = sessionStorage.getItem(KEPT);
let asking = null;

/** What the port says at this path. A body makes it a POST. */
export async function ask(path, body) {
  const sent = token;
  const response = await fetched(path, body);
  if (response.status === 401) {
    await fresh(sent);
    return ask(path, body);
  }
  if (response.ok) return response.json();
  const said = await response.json().catch(() => ({}));
  throw new Unanswered(response.status, said.error_description ?? `the port answered ${response.status}`);
}

async function fetched(path, body) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const request = { method: body === undefined ? "GET" : "POST", headers, cache: "no-store", credentials: "omit", redirect: "error" };
  if (body !== undefined) request.body = JSON.stringify(body);
  // A try may take as long as its call; everything else is at hand.
  request.signal = AbortSignal.timeout(body === undefined ? 10_000 : 120_000);
  try {
    return await fetch(`console/${path}`, request);
  } catch {
    throw new Unanswered(0, "the sidecar does not answer");
  }
}

/** Waits until there is another token than the one that was refused. */
async function fresh(refused) {
  if (token !== refused) return;
  asking ??= asked(refused !== null).finally(() => { asking = null; });
  await asking;
}

function asked(wasWrong) {
  const [dialog, form, field] = [byId("ask"), byId("ask-form"), byId("ask-token")];
  byId("ask-wrong").hidden = !wasWrong;
  field.value = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    // Without a token there is nothing to show.
    dialog.oncancel = (event) => event.preventDefault();
    form.onsubmit = () => {
      token = field.value.trim();
      field.value = "";
      sessionStorage.setItem(KEPT, token);
      byId("forget").hidden = false;
      resolve();
    };
  });
}

byId("forget").hidden = token === null;
byId("forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEPT);
  location.reload();
});
