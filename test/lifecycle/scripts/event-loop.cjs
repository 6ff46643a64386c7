// Measures how late 5 ms timers fire while an image is encoded, decoder included.
const { Sam } = require(process.env.BA_SAM_LIB);

(async () => {
  const sam = await Sam.load();
  const data = new Uint8Array(3000 * 2000 * 3).map((_, i) => i % 253);
  const image = { data, width: 3000, height: 2000, channels: 3 };
  await sam.encode(image, { longestSide: 256 }); // loads sharp, plans, kernels
  const late = [];
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(now - last - 5);
    last = now;
  }, 5);
  const embedding = await sam.encode(image, { longestSide: 1280, pad: false });
  await sam.predict(embedding, [{ points: [[100, 100]] }, { box: [10, 10, 900, 900] }], { multimask: true });
  clearInterval(timer);
  late.sort((a, b) => a - b);
  console.log(
    JSON.stringify({
      largest: late.at(-1),
      median99: late[Math.floor(0.99 * (late.length - 1))],
      ticks: late.length,
    }),
  );
  await sam.dispose();
})();
