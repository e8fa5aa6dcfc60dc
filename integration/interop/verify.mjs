// node verify.mjs FILE...: what arbundles says of items.
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { DataItem } from "arbundles";

for (const file of process.argv.slice(2)) {
  const item = new DataItem(readFileSync(file));
  console.log(JSON.stringify({
    id: item.id,
    valid: await item.isValid(),
    tags: Object.fromEntries(item.tags.map((t) => [t.name, t.value])),
    data: createHash("sha256").update(item.rawData).digest("hex"),
  }));
}
