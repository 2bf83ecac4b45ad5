// A person with a browser, as far as a login needs one: keeps what an OAuth client of the TypeScript SDK keeps for one
// server, and follows every link to an authorization server at once.

import assert from "node:assert/strict";

/** Where a login comes back to. Nobody listens there: the address in the redirect is all that is read. */
export const REDIRECT = "http://127.0.0.1:33418/";

/** The SDK's `OAuthClientProvider`; `authorization` is the last link that was followed, `answer` what came back. */
export class Provider {
  #client;
  #tokens;
  #verifier;

  get redirectUrl() {
    return REDIRECT;
  }

  get clientMetadata() {
    return {
      client_name: "toolbridge tests",
      redirect_uris: [REDIRECT],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    };
  }

  state() {
    this.sentState = crypto.randomUUID();
    return this.sentState;
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  codeVerifier() {
    return this.#verifier;
  }

  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }

  async redirectToAuthorization(url) {
    this.authorization = url;
    this.answer = await consent(url);
  }
}

/** Where the authorization server sends the person back to, as the query of that URL. */
export async function consent(url) {
  const response = await fetch(url, { redirect: "manual" });
  assert.equal(response.status, 302, `no redirect from ${url.pathname}`);
  const back = new URL(response.headers.get("location"));
  assert.equal(back.origin + back.pathname, REDIRECT);
  return back.searchParams;
}
