// Package kwil reads what the Kwil DB Sync of 2023 left on Arweave: the history
// of one database as calls of owner-only actions with named parameters, each an
// ANS-104 item of its own, in JSON, signed by the provider's Ethereum key.
//
// What is trusted, and why. The 2023 reader trusted three tags, so anybody could
// run any action as the owner. Here an action counts only if an address that the
// user allows has signed the item as a whole, which covers payload and tags, and
// the Action-Id by itself, as the 2023 writer did. That second signature alone
// proves nothing: it can be copied onto any payload. The tag Provider-Address is
// not looked at, and what an index says of an item decides nothing but whether
// it is fetched.
//
// What is not proven. The format has no sequence number and no link to the action
// before, so nothing shows that an index hides an action. And no signature covers
// a time: the order is that in which the bundler took the items, which is the
// order in which every 2023 reader replayed them, on the word of its index.
//
// The package never executes anything, and nothing in it knows Postgres.
package kwil
