package node

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/pgbridge/pgbridge/archive"
)

// info serves /info, in one the forms of Bundlr, Turbo and gateways. Only the
// Arweave address is told: it is of the key that signs receipts. The node
// takes no money, so there is no address to send any to.
func (n *Node) info(w http.ResponseWriter, r *http.Request) {
	height, err := n.index.height(r.Context())
	if err != nil {
		n.fail(w, r, err)
		return
	}
	writeJSON(w, map[string]any{
		"version":              receiptVersion,
		"addresses":            map[string]string{"arweave": n.address},
		"gateway":              r.Host,
		"freeUploadLimitBytes": n.options.MaxItem,
		"network":              "pgbridge",
		"height":               height,
	})
}

// public serves the key that signs receipts: its modulus.
func (n *Node) public(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(base64url(n.key.N.Bytes()))) // a client that left is no fault
}

// price serves Bundlr's price: nothing.
func (n *Node) price(w http.ResponseWriter, r *http.Request) {
	if !validCount(r.PathValue("bytes")) {
		http.Error(w, "want a number of bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("0")) // a client that left is no fault
}

// turboPrice serves Turbo's price: nothing.
func (n *Node) turboPrice(w http.ResponseWriter, r *http.Request) {
	if !validCount(r.PathValue("bytes")) {
		http.Error(w, "want a number of bytes", http.StatusBadRequest)
		return
	}
	writeJSON(w, map[string]any{"winc": "0", "adjustments": []int{}, "fees": []int{}})
}

func validCount(s string) bool {
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// balance serves Bundlr's balance. Nobody has any, and needs none.
func (n *Node) balance(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]string{"balance": "0"})
}

// turboBalance serves Turbo's balance.
func (n *Node) turboBalance(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"winc": "0", "controlledWinc": "0", "effectiveBalance": "0",
		"givenApprovals": []int{}, "receivedApprovals": []int{},
	})
}

// status serves Turbo's status: what the node has is as safe as it gets.
func (n *Node) status(w http.ResponseWriter, r *http.Request) {
	e, err := n.index.lookup(r.Context(), r.PathValue("id"))
	if err != nil {
		n.fail(w, r, err)
		return
	}
	writeJSON(w, map[string]any{
		"status": "FINALIZED", "info": "permanent", "winc": "0",
		"payloadDataStart": e.dataAt, "payloadContentLength": e.dataSize(), "payloadContentType": e.contentType(),
	})
}

// meta serves what is known of an item, without its data.
func (n *Node) meta(w http.ResponseWriter, r *http.Request) {
	e, err := n.index.lookup(r.Context(), r.PathValue("id"))
	if err != nil {
		n.fail(w, r, err)
		return
	}
	writeJSON(w, map[string]any{
		"id": e.id, "signatureType": e.sigType, "signature": base64url(e.signature),
		"owner": base64url(e.owner), "ownerAddress": archive.Address(e.owner), "address": archive.NativeAddress(e.sigType, e.owner),
		"target": base64url(e.target), "anchor": base64url(e.anchor), "tags": tagsOf(e.tags), "currency": currency(e.sigType),
		"contentType": e.contentType(), "dataSize": e.dataSize(), "size": e.size, "timestamp": e.at.UnixMilli(),
	})
}

// currency is what a bundler calls the chain of a key.
func currency(sigType uint16) string {
	switch sigType {
	case archive.SigEthereum:
		return "ethereum"
	case archive.SigEd25519, archive.SigSolana:
		return "solana"
	}
	return "arweave"
}

// sigTypes are the signature types of a currency, in JSON.
func sigTypes(name string) string {
	switch name {
	case "ethereum":
		return "[3]"
	case "solana":
		return "[2,4]"
	case "arweave":
		return "[1]"
	}
	return "[]"
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that left is no fault
}
