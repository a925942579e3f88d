// Whether the reader is on the page. A browser keeps pages that were left, with their streams, and has six connections to
// one server, so a page that was left must close them.

/**
 * Call `leave` when the reader leaves the page, and `comeBack` when the browser shows the same page again.
 * @returns a function that ends it
 */
export function onLeaving(leave, comeBack) {
  const onShow = (event) => event.persisted && comeBack();
  addEventListener("pagehide", leave);
  addEventListener("pageshow", onShow);
  return () => {
    removeEventListener("pagehide", leave);
    removeEventListener("pageshow", onShow);
  };
}
