package archive

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Archive is one configured place, by its roles. A role that it does not have
// is nil.
type Archive struct {
	Finder  Finder  // can be read
	Putter  Putter  // can be written
	Watcher Watcher // can push what is new
}

// Name is the URL without secrets and keys.
func (a Archive) Name() string {
	switch {
	case a.Putter != nil:
		return a.Putter.Name()
	case a.Finder != nil:
		return a.Finder.Name()
	}
	return ""
}

// OpenURL makes the archive of a URL. It does not dial: whether there is
// anything is seen at the first use. http may be nil. The forms:
//
//	http(s)://host                pgbridge's own node              reads, writes, pushes
//	    ?address=…                pinned addresses of its receipts
//	dir:///path                   a folder                         reads, writes
//	bundlr+http(s)://host         a Bundlr or Irys node            reads, writes
//	    ?gateway=URL              needed: tells what is permanent
//	    &currency=…&address=…     account that pays, pinned addresses
//	turbo+http(s)://host          Turbo                            writes
//	    ?currency=…&address=…     as above
//	    &gateway=URL              reads as well
//	gateway+http(s)://host        a gateway                        reads
//	    ?dialect=arweave|bundlr   of its index; arweave if missing
//
// With a gateway goes owner=…, the wallets that wrap the items (Gateway.Owners).
// address and owner may be repeated. Unknown keys are errors. An archive that
// takes money should have an address: see Bundler.
func OpenURL(raw string, http *Client) (Archive, error) {
	a, err := openURL(raw, http)
	if err != nil {
		return Archive{}, fmt.Errorf("archive %s: %w", displayURL(raw), err)
	}
	return a, nil
}

func openURL(raw string, http *Client) (Archive, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Archive{}, errors.New("want a URL like https://host or dir:///path") // the cause quotes it, with its password
	}
	kind, scheme, plus := strings.Cut(u.Scheme, "+")
	switch {
	case u.Scheme == "dir":
		return openFolder(u)
	case !plus:
		kind, scheme = "", u.Scheme
	}
	if scheme != "http" && scheme != "https" {
		return Archive{}, fmt.Errorf("scheme %q is not known: want http, https, dir, or bundlr+, turbo+, gateway+ before http or https", u.Scheme)
	}
	open, ok := openers[kind]
	if !ok {
		return Archive{}, fmt.Errorf("kind %q is not known: want bundlr+, turbo+, gateway+, or nothing before %s", kind, scheme)
	}
	keys, err := readKeys(u, open.single, open.repeated)
	if err != nil {
		return Archive{}, err
	}
	if u.Host == "" || u.Opaque != "" {
		return Archive{}, errors.New("it has no host")
	}
	base := url.URL{Scheme: scheme, User: u.User, Host: u.Host, Path: u.Path}
	return open.open(base.String(), keys, http)
}

// openers are the kinds of archive that are spoken to over HTTP, and the keys
// that each takes.
var openers = map[string]struct {
	single, repeated []string
	open             func(base string, keys url.Values, http *Client) (Archive, error)
}{
	"":        {nil, []string{"address"}, openNode},
	"bundlr":  {[]string{"currency", "gateway"}, []string{"address", "owner"}, openBundlr},
	"turbo":   {[]string{"currency", "gateway"}, []string{"address", "owner"}, openTurbo},
	"gateway": {[]string{"dialect"}, []string{"owner"}, openGateway},
}

func openFolder(u *url.URL) (Archive, error) {
	if u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") {
		return Archive{}, errors.New("want the whole path after three slashes: dir:///path")
	}
	if _, err := readKeys(u, nil, nil); err != nil {
		return Archive{}, err
	}
	f := &Folder{Dir: u.Path}
	return Archive{Finder: f, Putter: f}, nil
}

func openNode(base string, keys url.Values, http *Client) (Archive, error) {
	n := &Node{URL: base, Addresses: keys["address"], HTTP: http}
	return Archive{Finder: n, Putter: n, Watcher: n}, nil
}

func openBundlr(base string, keys url.Values, http *Client) (Archive, error) {
	if !keys.Has("gateway") {
		return Archive{}, errors.New("gateway is missing: a Bundlr node does not tell what is permanent, and nothing would ever leave the outbox")
	}
	g, err := gatewayOf(keys, http)
	if err != nil {
		return Archive{}, err
	}
	b := &Bundler{URL: base, Currency: keys.Get("currency"), Addresses: keys["address"], Gateway: g, HTTP: http}
	own := &Gateway{URL: base, Dialect: Bundlr, HTTP: http} // has what is not yet on the gateway
	return Archive{Finder: &Multi{Members: []Finder{own, g}, Log: http.orShared().Log}, Putter: b}, nil
}

func openTurbo(base string, keys url.Values, http *Client) (Archive, error) {
	a := Archive{Putter: &Bundler{URL: base, Dialect: Turbo, Currency: keys.Get("currency"), Addresses: keys["address"], HTTP: http}}
	if keys.Has("gateway") {
		g, err := gatewayOf(keys, http)
		if err != nil {
			return Archive{}, err
		}
		a.Finder = g
	} else if keys.Has("owner") {
		return Archive{}, errors.New("owner is of use with a gateway only")
	}
	return a, nil
}

func openGateway(base string, keys url.Values, http *Client) (Archive, error) {
	g := &Gateway{URL: base, Owners: keys["owner"], HTTP: http}
	switch d := Dialect(keys.Get("dialect")); d {
	case "", Arweave, Bundlr:
		g.Dialect = d
	default:
		return Archive{}, fmt.Errorf("dialect %q is not known: want %s or %s", d, Arweave, Bundlr)
	}
	return Archive{Finder: g}, nil
}

// gatewayOf is the gateway that a bundler's URL names.
func gatewayOf(keys url.Values, http *Client) (*Gateway, error) {
	u, err := url.Parse(keys.Get("gateway"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("gateway: want a URL like https://host, without ? and #")
	}
	return &Gateway{URL: u.String(), Owners: keys["owner"], HTTP: http}, nil
}

// readKeys reads the query of u: the keys in single at most once, those in
// repeated as often as one likes, and no others.
func readKeys(u *url.URL, single, repeated []string) (url.Values, error) {
	keys, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return nil, errors.New("want key=value pairs joined by & after the ?, and no #")
	}
	known := append(slices.Clone(single), repeated...)
	for key, values := range keys {
		switch {
		case !slices.Contains(known, key):
			return nil, fmt.Errorf("key %q is not known here: it takes %s", excerpt([]byte(key)), strings.Join(known, ", "))
		case slices.Contains(values, ""):
			return nil, fmt.Errorf("%s is empty", key)
		case len(values) > 1 && slices.Contains(single, key):
			return nil, fmt.Errorf("%s is there %d times", key, len(values))
		}
	}
	for _, key := range []string{"address", "owner"} {
		for _, value := range keys[key] {
			if !ValidID(value) {
				return nil, fmt.Errorf("%s %.50q is not an address: want 43 characters of base64url", key, value)
			}
		}
	}
	return keys, nil
}
