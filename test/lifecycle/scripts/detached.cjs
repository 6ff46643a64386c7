// Takes buffers away while native code may have them, in every call that is given one. With `broken` in a way that only the bare
// addon permits: that AddressSanitizer sees it shows that it would see the others.
const { Graph, Session, attention, ops } = require(process.env.BA_SAM_LIB);

const drop = (array) => {
  structuredClone(array.buffer, { transfer: [array.buffer] });
  globalThis.gc();
  globalThis.gc();
};
const LARGE = 1 << 22;

async function broken() {
  const { Weights } = require(process.env.BA_SAM_ADDON);
  for (let i = 0; i < 20; i++) {
    const bytes = new Uint8Array(4 * LARGE);
    const set = new Weights({}).set('w', 'f32', 'bf16', [LARGE], bytes, true);
    drop(bytes);
    await set;
  }
}

async function main() {
  const session = new Session({ device: 'cpu' });
  const side = 512;
  const build = () => {
    const graph = new Graph();
    const x = graph.input('x', [side, side]);
    const y = ops.linear(x, graph.weight('w', [side, side]));
    graph.output(ops.add(y, graph.parameter('p', [side, side])));
    return graph;
  };
  const ones = () => new Float32Array(side * side).fill(1);
  const parameter = ones();
  const set = session.setParameter('p', 'f32', [side, side], parameter);
  drop(parameter);
  await set;
  for (const transfer of [false, true]) {
    const bytes = new Uint8Array(4 * LARGE);
    const large = session.setWeight(`large ${transfer}`, 'f32', 'bf16', [LARGE], bytes, { transfer });
    if (!transfer) drop(bytes);
    globalThis.gc();
    await large;
  }
  const weight = ones();
  const setWeight = session.setWeight('w', 'f32', 'f32', [side, side], new Uint8Array(weight.buffer));
  drop(weight);
  await setWeight;
  for (const hold of [false, true]) {
    const x = ones();
    const run = session.run('graph', build, [x], { hold });
    drop(x);
    const again = session.run('graph', build, [hold ? (await run)[0] : ones()]);
    await run;
    const [y] = await again;
    if (y[0] !== (hold ? side * (side + 1) + 1 : side + 1)) throw new Error(`the wrong result: ${y[0]}`);
  }
  const out = ones();
  const read = session.readParameter('p', out);
  drop(out);
  await read.then(
    () => Promise.reject(new Error('an array that is gone was written to')),
    () => {},
  );
  const tokens = [0, 1, 2].map(() => new Float32Array(64 * 32));
  const attended = attention(...tokens, { heads: 1, headDim: 32 });
  for (const array of tokens) drop(array);
  await attended;
  await session.dispose();
  console.log('done');
}

void (process.argv[2] === 'broken' ? broken() : main());
