// node bundle.mjs ARLOCAL JWK ITEM...: put items on an Arweave node as a bundle, as a bundler does.
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { DataItem, longTo32ByteArray } from "arbundles";
import Arweave from "arweave";

const [url, jwkFile, ...files] = process.argv.slice(2);
const at = new URL(url);
const arweave = Arweave.init({ protocol: "http", host: at.hostname, port: at.port });
const jwk = JSON.parse(readFileSync(jwkFile, "utf8"));
const items = files.map((f) => new DataItem(readFileSync(f)));

// arlocal shows an item only if its owner has a wallet.
const mint = (address) => fetch(`${url}/mint/${address}/1000000000000`);
await mint(await arweave.wallets.jwkToAddress(jwk));
for (const item of items) await mint(createHash("sha256").update(item.rawOwner).digest("base64url"));

// arbundles' own bundling would sign the items again.
const index = items.map((i) => Buffer.concat([longTo32ByteArray(i.getRaw().length), i.rawId]));
const bundle = Buffer.concat([longTo32ByteArray(items.length), ...index, ...items.map((i) => i.getRaw())]);
const tx = await arweave.createTransaction({ data: bundle }, jwk);
tx.addTag("Bundle-Format", "binary");
tx.addTag("Bundle-Version", "2.0.0");
await arweave.transactions.sign(tx, jwk);
const answer = await arweave.transactions.post(tx);
await fetch(`${url}/mine`);
console.log(JSON.stringify({ id: tx.id, status: answer.status, items: items.map((i) => i.id) }));
