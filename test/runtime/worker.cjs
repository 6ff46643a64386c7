// A worker that does what its jobs say, well or badly.
const { serve } = require('../../dist/runtime/process-worker.js');
const { SamError } = require('../../dist/index.js');

serve(async ({ fails, word }) => {
  if (fails) throw new SamError('ERR_DEVICE_UNAVAILABLE', 'nothing to begin with');
  return async ({ act, value }, note) => {
    if (act === 'refuse') throw new SamError('ERR_DATASET', `no ${value}`);
    if (act === 'exit') {
      console.error('a warning\nlast words');
      process.exit(value);
    }
    if (act === 'kill') process.kill(process.pid, 'SIGKILL');
    if (act === 'hang') {
      await note({ pid: process.pid });
      return new Promise(() => setInterval(() => {}, 1000));
    }
    await note({ pid: process.pid, value });
    return `${word} ${value}`;
  };
});
