// Ctrl-C and its kin end a command in good order, and whatever happens they end it.
import { Interrupted, SIGNALS } from './errors';

/** What is still going on then does not listen: a read of a pipe that nobody writes to, a thread that hangs. */
const GRACE_MS = 10_000;

/**
 * The signal that a command's work ends on. Where the process is still there after a while it ends by the signal itself, which
 * needs nothing of it; a second signal does so at once.
 */
export function onInterrupt(grace_ms = GRACE_MS): AbortSignal {
  const controller = new AbortController();
  const names = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[];
  const interrupt = (name: NodeJS.Signals) => {
    // From now on signals have their default effect: no listener of 'exit' and no destructor can hold it up.
    for (const other of names) process.removeListener(other, interrupt);
    controller.abort(new Interrupted(name as (typeof names)[number]));
    setTimeout(() => process.kill(process.pid, name), grace_ms).unref();
  };
  for (const name of names) process.on(name, interrupt);
  return controller.signal;
}
