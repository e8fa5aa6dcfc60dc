// A fresh Solana key in the form that SolanaSigner takes: base58 of seed and public key.
import { generateKeyPairSync } from "node:crypto";

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

function base58(bytes) {
  let n = BigInt("0x" + bytes.toString("hex"));
  let text = "";
  for (; n > 0n; n /= 58n) text = alphabet[Number(n % 58n)] + text;
  for (const b of bytes) {
    if (b !== 0) break;
    text = "1" + text;
  }
  return text;
}

export function ed25519Seed() {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { d, x } = privateKey.export({ format: "jwk" });
  return base58(Buffer.concat([Buffer.from(d, "base64url"), Buffer.from(x, "base64url")]));
}
