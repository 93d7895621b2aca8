const CHECK_EVERY_MS = 250;

/** Calls back once when the process that started this one has ended. An orphan gets another parent: that is how one can tell. */
export function whenParentIsGone(callback) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    callback();
  }, CHECK_EVERY_MS);
  timer.unref();
}
