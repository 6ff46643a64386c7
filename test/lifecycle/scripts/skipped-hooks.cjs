// Ends the process during an encode in a way that passes over the library's own exit listener. Expected status: 7.
const [how, delay] = process.argv.slice(2);
if (how === 'nested') process.on('exit', () => process.exit(7)); // before the library's, which then is never called
const { Worker, isMainThread, parentPort } = require('node:worker_threads');
const { Sam } = require(process.env.BA_SAM_LIB);
const image = { data: new Uint8Array(512 * 512 * 3).fill(7), width: 512, height: 512, channels: 3 };

async function encode() {
  const sam = await Sam.load();
  void sam.encode(image).catch(() => {});
}
function end() {
  if (how === 'really') process.reallyExit(7);
  process.exit(how === 'nested' ? 5 : 7);
}

if (!isMainThread) encode().then(() => parentPort.postMessage('started'));
else if (how === 'worker') new Worker(__filename).once('message', () => setTimeout(end, Number(delay)));
else encode().then(() => setTimeout(end, Number(delay)));
