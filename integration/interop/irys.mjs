// node irys.mjs NODE: the Irys SDK uploads to the node and verifies the receipt.
import { randomBytes } from "node:crypto";
import Irys from "@irys/sdk";

const [node] = process.argv.slice(2);
const irys = new Irys({ url: node, token: "ethereum", key: randomBytes(32).toString("hex"), config: { providerUrl: node } });
const price = await irys.getPrice(1000);
const receipt = await irys.upload("posted by the Irys SDK", { tags: [{ name: "Content-Type", value: "text/plain" }] });
const verified = await receipt.verify();
const back = await (await fetch(`${node}/${receipt.id}`)).text();
console.log(JSON.stringify({ id: receipt.id, price: price.toString(), verified, back }));
