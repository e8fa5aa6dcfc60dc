// Package node is pgbridge's own archive server: a folder of items behind the
// HTTP of Bundlr, Irys and Turbo bundlers and of Arweave gateways, and a feed
// of what is new.
//
// The node is a store, not an authority. It takes any ANS-104 item whose
// signature is good, from anybody who can reach it, and never looks inside.
// What is in the files is the truth; the index can be lost.
//
// There are no blocks here. Where a client wants one, each item is its own:
// its height is the order of arrival. Nothing costs anything. There is no TLS
// and no login: put a proxy in front of a node that strangers can reach.
package node
