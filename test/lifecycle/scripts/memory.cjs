// Loads, uses and disposes models again and again; prints the resident size in MB early and late.
const { Sam } = require(process.env.BA_SAM_LIB);

(async () => {
  const cycle = async () => {
    const sam = await Sam.load();
    const embedding = await sam.encode({
      pixelValues: new Float32Array(3 * 512 * 512),
      shape: [1, 3, 512, 512],
    });
    await sam.predict(embedding, { points: [[10, 10]] });
    await sam.dispose();
  };
  const megabytes = () => process.memoryUsage().rss / 2 ** 20;
  for (let i = 0; i < 6; i++) await cycle();
  const early = megabytes();
  for (let i = 0; i < 14; i++) await cycle();
  console.log(JSON.stringify({ early, late: megabytes() }));
})();
