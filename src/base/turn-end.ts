const due: (() => void)[] = [];

function runAll(): void {
  let done = 0;
  try {
    // What one of them asks for comes behind the others, in the same go.
    while (done < due.length) due[done++]!();
  } finally {
    due.splice(0, done);
    if (due.length > 0) setImmediate(runAll);
  }
}

/**
 * Calls back at the end of this turn of the event loop, when all that came in has been looked at. One that is asked for by such a call comes in the same turn, where
 * `setImmediate` would make it another one: a message gathers in several layers on its way out, and a turn costs as much as each of them.
 */
export function atTurnEnd(callback: () => void): void {
  if (due.push(callback) === 1) setImmediate(runAll);
}
