const CHECK_EVERY_MS = 250;

/**
 * Calls back once when the process that started this one has ended. An orphan gets another parent, which is how it is
 * detected.
 */
export function whenParentIsGone(callback) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    callback();
  }, CHECK_EVERY_MS);
  timer.unref();
}
