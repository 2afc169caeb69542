// @ts-check
// Sends the form of the address that the program printed, so that one opens a link and is there.
// Without scripts it is a button.

const form = document.querySelector("form[data-at-once]");
if (form instanceof HTMLFormElement) form.requestSubmit();
