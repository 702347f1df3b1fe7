const gathered: (() => void)[] = [];
const due: (() => void)[] = [];
let armed = false;

function arm(): void {
  if (armed) return;
  armed = true;
  // Between the two, what the first set off with promises has its turn.
  setImmediate(runGathered);
  setImmediate(runAll);
}

function runGathered(): void {
  // One that throws leaves the others to the next turn.
  for (let left = gathered.length; left > 0; left--) gathered.shift()!();
}

function runAll(): void {
  let done = 0;
  try {
    // What one of them asks for comes behind the others, in the same go.
    while (done < due.length) due[done++]!();
  } finally {
    due.splice(0, done);
    armed = false;
    if (due.length > 0 || gathered.length > 0) arm();
  }
}

/**
 * Calls back at the end of this turn of the event loop, when all that came in has been looked at. One that is asked for by such a call comes in the same turn, where
 * `setImmediate` would make it another one: a message gathers in several layers on its way out, and a turn costs as much as each of them.
 */
export function atTurnEnd(callback: () => void): void {
  due.push(callback);
  arm();
}

/**
 * Calls back when all that came in has been looked at, before {@link atTurnEnd} does: for what is better done for many messages at once, and whose results are to leave
 * in this turn. One that is asked for by a call of either kind comes in the next turn.
 */
export function whenGathered(callback: () => void): void {
  gathered.push(callback);
  arm();
}
