// node upload.mjs NODE JWK: items made and posted by arbundles' users.
import { readFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { ArweaveSigner, EthereumSigner, SolanaSigner, createData } from "arbundles";
import { ed25519Seed } from "./solana.mjs";

const [node, jwk] = process.argv.slice(2);
const signers = {
  arweave: new ArweaveSigner(JSON.parse(readFileSync(jwk, "utf8"))),
  ethereum: new EthereumSigner(randomBytes(32).toString("hex")),
  solana: new SolanaSigner(ed25519Seed()),
};
for (const [name, signer] of Object.entries(signers)) {
  const data = `posted by ${name}`;
  const item = createData(data, signer, { tags: [{ name: "App-Name", value: "interop" }, { name: "Wallet", value: name }] });
  await item.sign(signer);
  const answer = await fetch(`${node}/tx/${name}`, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: item.getRaw() });
  const receipt = await answer.json();
  const back = await (await fetch(`${node}/${item.id}`)).text();
  const query = `query { transactions(ids: ["${item.id}"]) { edges { node { id owner { address } tags { name value } } } } }`;
  const found = await (await fetch(`${node}/graphql`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ query }) })).json();
  console.log(JSON.stringify({
    name, status: answer.status, id: item.id, receipt: receipt.id, same: back === data,
    tags: found.data.transactions.edges[0].node.tags.map((t) => `${t.name}=${t.value}`).join(","),
  }));
}
