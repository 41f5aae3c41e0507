// The npm package etcd3: run as `node program_npm.js HOST:PORT,…`; speaks to its parent by lines.
const { Etcd3, EtcdLockFailedError } = require('etcd3');
const readline = require('readline');

const tell = (fields) => console.log(JSON.stringify(fields));

async function main() {
  const client = new Etcd3({ hosts: process.argv[2].split(',') });
  await client.put('/k/a').value('1');
  tell({ got: await client.get('/k/a').string() });
  const done = await client.if('/k/a', 'Value', '==', '1').then(client.put('/k/b').value('2')).commit();
  tell({ txn: done.succeeded, read: await client.get('/k/b').string() });
  const lease = client.lease(30);
  await lease.put('/k/l').value('x');
  tell({ granted: 30, keys: Object.keys(await client.getAll().prefix('/k/l').strings()) });
  await lease.revoke();
  tell({ gone: (await client.get('/k/l')) === null });
  const lock = client.lock('name').ttl(10);
  await lock.acquire();
  let refused = false;
  await client.lock('name').acquire().catch((error) => { refused = error instanceof EtcdLockFailedError; });
  await lock.release();
  tell({ locked: refused });
  const watch = await client.watch().prefix('/k/w').create();
  const seen = [];
  const complete = new Promise((resolve) => watch.on('put', (kv) => {
    seen.push(kv.key.toString());
    if (seen.length === 20) resolve();
  }));
  const input = readline.createInterface({ input: process.stdin });
  for (let number = 0; number < 20; number += 1) {
    if (number === 10) {
      const told = new Promise((resolve) => input.once('line', resolve));
      tell({ half: true });
      await told;
    }
    for (;;) {
      try {
        await client.put('/k/w' + String(number).padStart(2, '0')).value('x');
        break;
      } catch (error) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
  await complete;
  tell({ seen });
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
