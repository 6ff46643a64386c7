// A process that runs command lines of `ba-sam` one after the other, as many processes would, without starting each: gets
// { args, cwd } by IPC and answers { status, stdout, stderr }. What needs a process of its own (signals, environment, memory) is
// run as one: see run.ts.
const { main } = require('../../dist/cli/main.js');

const home = process.cwd();
const said = { stdout: '', stderr: '' };
for (const name of ['stdout', 'stderr']) {
  process[name].write = (chunk, encoding, done) => {
    said[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    const callback = typeof encoding === 'function' ? encoding : done;
    if (callback) process.nextTick(callback);
    return true;
  };
}

process.on('message', async ({ args, cwd }) => {
  process.chdir(cwd ?? home);
  Object.assign(said, { stdout: '', stderr: '' });
  process.exitCode = undefined;
  const emitters = [process, process.stdout, process.stderr];
  const events = ['SIGINT', 'SIGTERM', 'SIGHUP', 'error'];
  await main(args);
  for (const emitter of emitters) for (const event of events) emitter.removeAllListeners(event);
  process.send({ status: process.exitCode ?? 0, ...said });
});
process.on('disconnect', () => process.exit(0));
