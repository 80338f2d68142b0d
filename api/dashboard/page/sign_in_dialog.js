/** The dialog that is shown when the session has ended while the page is open. */

import { byId, setText } from "./elements.js";

/** Set up the dialog. Signing in reloads the page, at the same address. */
export function initSignInDialog(client) {
  byId("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    setText(byId("sign-in-failure"), "");
    try {
      await client.signIn(byId("key").value.trim());
      window.location.reload();
    } catch (problem) {
      setText(byId("sign-in-failure"), problem.status === 401 ? "This key is not valid." : `Sign-in failed: ${problem.message}`);
    }
  });
  byId("signed-out").addEventListener("cancel", (event) => event.preventDefault());
}

export function showSignInDialog() {
  const dialog = byId("signed-out");
  if (!dialog.open) dialog.showModal();
}
